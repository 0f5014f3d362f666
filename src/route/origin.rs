//! Own origins, and where a visitor may be sent back to.
//! Pure.
//!
//! *Source:* RFC 6454; WHATWG URL, since a browser will read what we send.

use url::Url;

/// The origins that are ours: scheme and port of `public_url` with its host and with each route's host.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    public: Url,
    /// `:8443`, or nothing where the port is the scheme's own.
    port: Box<str>,
    hosts: Vec<String>,
    suffixes: Vec<String>,
}

/// A return target is kept whole up to this many bytes, then without its query, then not at all.
const LONGEST_TARGET: usize = 2048;

impl Origins {
    /// Origins of `public` (an origin URL with a host), exact hosts, and wildcard suffixes such as `.example.ch`.
    pub(crate) fn new(public: Url, hosts: Vec<String>, suffixes: Vec<String>) -> Self {
        let port = public.port().map(|port| format!(":{port}")).unwrap_or_default().into();
        Self { public, port, hosts, suffixes }
    }

    /// The host of `public_url`.
    pub(crate) fn public_host(&self) -> &str {
        self.public.host_str().unwrap_or_default()
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &str {
        self.public.scheme()
    }

    /// Host and, where it is not the scheme's own, port.
    pub(crate) fn authority(&self, host: &str) -> String {
        [host, &self.port].concat()
    }

    /// Whether a `Host` line says just what [`Self::authority`] makes of its host.
    pub(crate) fn is_authority(&self, line: &str, host: &str) -> bool {
        line.strip_prefix(host).is_some_and(|rest| rest == &*self.port)
    }

    /// The origin of one of our hosts.
    pub(crate) fn of(&self, host: &str) -> String {
        format!("{}://{}", self.scheme(), self.authority(host))
    }

    /// Every origin with an exact host, that of `public_url` first.
    pub(crate) fn exact(&self) -> impl Iterator<Item = String> {
        let public = self.public_host();
        let others = self.hosts.iter().map(String::as_str).filter(move |host| *host != public);
        std::iter::once(public).chain(others).map(|host| self.of(host))
    }

    /// Whether a host is an own one by a wildcard route only.
    pub(crate) fn is_wildcard_only(&self, host: &str) -> bool {
        host != self.public_host() && !self.hosts.iter().any(|own| own == host)
    }

    /// Whether a URL lies at an own origin.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let known = host == self.public_host()
            || self.hosts.iter().any(|own| own == host)
            || self
                .suffixes
                .iter()
                .any(|suffix| host.len() > suffix.len() && host.ends_with(suffix.as_str()));
        known
            && url.scheme() == self.scheme()
            && url.port() == self.public.port()
            && url.username().is_empty()
            && url.password().is_none()
    }

    /// Whether an `Origin` header names an own origin.
    pub(crate) fn is_own_origin(&self, origin: &str) -> bool {
        // `null`, and everything else that is no origin, is foreign.
        Url::parse(origin).is_ok_and(|url| self.is_own(&url) && url.origin().ascii_serialization() == origin)
    }

    /// Reads a return target that somebody gave us, as a browser on `host` would resolve it.
    ///
    /// `None` when it leads anywhere but to an own origin, or holds control characters or backslashes, which
    /// browsers and servers read differently.
    pub(crate) fn read_target(&self, host: &str, target: &str) -> Option<String> {
        if target.chars().any(|c| c.is_control() || c == '\\') {
            return None;
        }
        let base = Url::parse(&self.of(host)).ok()?;
        let url = base.join(target).ok()?;
        // An own origin with an empty first segment could be read as a host by whatever takes only the path.
        let path_is_plain = !url.path().starts_with("//");
        (self.is_own(&url) && path_is_plain).then(|| self.bounded(&base, &url))
    }

    /// The return target for a page on `host` that was asked for by path and query, byte for byte.
    pub(crate) fn page_target(&self, host: &str, target: &str) -> String {
        let absolute = || format!("{}{target}", self.of(host));
        let text = if target.starts_with("//") || target.starts_with("/\\") {
            absolute()
        } else {
            target.to_owned()
        };
        if text.len() <= LONGEST_TARGET {
            return text;
        }
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.len() <= LONGEST_TARGET { path.to_owned() } else { "/".to_owned() }
    }

    /// A target as it is kept: the path for the own host, absolute for another own one.
    fn bounded(&self, base: &Url, url: &Url) -> String {
        let text = |url: &Url| {
            if url.origin() == base.origin() {
                url[url::Position::BeforePath..].to_owned()
            } else {
                url.as_str().to_owned()
            }
        };
        let whole = text(url);
        if whole.len() <= LONGEST_TARGET {
            return whole;
        }
        let mut bare = url.clone();
        bare.set_query(None);
        bare.set_fragment(None);
        let bare = text(&bare);
        if bare.len() <= LONGEST_TARGET { bare } else { "/".to_owned() }
    }
}
