//! Which incoming header names could be read as one of ours.
//! Pure.
//!
//! *Source:* README "What the application reads"; CGI's and WSGI's mapping of header names (RFC 3875 §4.1.18).

use std::collections::BTreeSet;

use http::header::HeaderName;

/// Identity headers of other gateways, which applications may believe too. A last `*` is a prefix.
pub(crate) const DEFAULT_STRIP: [&str; 20] = [
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "Remote-User",
    "Remote-Name",
    "Remote-Email",
    "Remote-Groups",
    "X-Remote-User",
    "X-Remote-Group",
    "X-WebAuth-User",
    "X-Forwarded-Client-Cert",
    "OIDC_*",
    "X-Authentik-*",
    "X-Pomerium-*",
    "Cf-Access-*",
    "X-Goog-*",
    "X-Amzn-Oidc-*",
    "X-MS-Client-Principal*",
];

/// Families that are ours on every route.
const OURS: [&str; 2] = ["x-auth-", "x-midgate-"];

/// Descriptions of another request, believed from nobody: the path on the wire is the path.
const NEVER: [&str; 9] = [
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-original-method",
    "x-rewrite-url",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-forwarded-method",
    "proxy",
];

/// What proxies say of the client, kept from a trusted peer only; all of `x-forwarded-` is in this family.
const TRUSTED_ONLY: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "x-envoy-external-address",
];

/// The longest folded name that is looked at; a longer header name cannot be one of ours.
const LONGEST: usize = 128;

/// The compiled set of names to remove.
#[derive(Debug)]
pub(crate) struct Strip {
    /// In order: a few comparisons cost less than a keyed hash.
    exact: Box<[Box<[u8]>]>,
    prefixes: Vec<Box<[u8]>>,
    /// First letters of everything above: most headers are settled by one look.
    first: [bool; 256],
}

/// Folds a name as servers do that turn headers into variables: lower case, everything else is `-`.
pub(crate) fn fold(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold_byte(byte))).collect()
}

fn fold_byte(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        lower @ (b'a'..=b'z' | b'0'..=b'9') => lower,
        _ => b'-',
    }
}

impl Strip {
    /// Compiles the operator's patterns (or [`DEFAULT_STRIP`]) and every identity header of every route.
    pub(crate) fn new<'n>(
        patterns: impl IntoIterator<Item = &'n str>,
        ours: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let mut exact = BTreeSet::new();
        let mut prefixes: Vec<Box<[u8]>> = OURS.map(|name| name.as_bytes().into()).to_vec();
        for pattern in patterns {
            match pattern.strip_suffix('*') {
                Some(prefix) => prefixes.push(fold(prefix).into_bytes().into()),
                None => drop(exact.insert(fold(pattern).into_bytes().into_boxed_slice())),
            }
        }
        exact.extend(ours.into_iter().chain(NEVER).map(|name| fold(name).into_bytes().into_boxed_slice()));
        let mut first = [false; 256];
        let spoken = TRUSTED_ONLY.map(str::as_bytes);
        for name in exact.iter().chain(&prefixes).map(|name| &**name).chain(spoken) {
            if let Some(byte) = name.first() {
                first[usize::from(*byte)] = true;
            }
        }
        Self { exact: exact.into_iter().collect(), prefixes, first }
    }

    /// Whether an incoming header of this name must not go up.
    pub(crate) fn removes(&self, name: &HeaderName, peer_is_trusted: bool) -> bool {
        let name = name.as_str().as_bytes();
        let starts = name.first().is_some_and(|byte| self.first[usize::from(fold_byte(*byte))]);
        if !starts {
            return false;
        }
        let mut folded = [0_u8; LONGEST];
        let length = name.len().min(LONGEST);
        for (to, from) in folded.iter_mut().zip(name) {
            *to = fold_byte(*from);
        }
        let folded = folded.get(..length).unwrap_or_default();
        let is_exact =
            name.len() <= LONGEST && self.exact.binary_search_by(|known| (**known).cmp(folded)).is_ok();
        if is_exact || self.prefixes.iter().any(|prefix| folded.starts_with(prefix)) {
            return true;
        }
        let spoken =
            folded.starts_with(b"x-forwarded-") || TRUSTED_ONLY.iter().any(|n| n.as_bytes() == folded);
        // A spelling that is not the header's own is nobody's honest header.
        spoken && (!peer_is_trusted || folded != name)
    }
}
