//! Signing out at a simulated provider, and the logouts that it begins: right ones, and wrong in every way.
//!
//! *Source:* OIDC RP-Initiated Logout §2, §3; OIDC Back-Channel Logout §2.4; OIDC Front-Channel Logout §3.

use minijinja::context;
use serde_json::{Value, json};
use url::Url;

use super::super::http::{Request, Response};
use super::super::jose::{Key, Signing, token};
use super::super::phone::render;
use super::tokens::merged;
use super::{EC, Shared, Simulated, now};

/// What is wrong with the header or the signature of a logout token, or of an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    Nothing,
    AlgNone,
    Hs256WithSecret,
    Hs256WithPublicKey,
    /// By a good key of the set, for a client that is registered for RS256.
    Es256,
    BadSignature,
    ForeignKey,
    UnknownKid,
    /// Another `typ`; empty for none.
    Typ(&'static str),
}

impl Simulated {
    /// A logout token for the gateway with these claims changed; `null` removes one. Each has a `jti` of its own.
    pub fn logout_token(&self, claims: Value, forgery: Forgery) -> String {
        self.shared.logout_token(&claims, forgery)
    }

    /// Frames this address, with `iss` and `sid`, in the page that ends a session.
    pub fn frame_at_logout(&self, frontchannel: &str) {
        self.shared.lock().frontchannel = Some(frontchannel.to_owned());
    }
}

impl Shared {
    fn logout_token(&self, changes: &Value, forgery: Forgery) -> String {
        let now = now();
        let (key, ec, number, sid, sub) = {
            let mut state = self.lock();
            state.logouts += 1;
            let ec = state.ec_key.get_or_insert_with(|| Key::of(EC, "ES256")).clone();
            let key = state.keys.first().cloned().unwrap_or_else(|| Key::generate("none"));
            (key, ec, state.logouts, state.calls.sid.clone(), state.calls.sub.clone())
        };
        let claims = json!({
            "iss": self.issuer(), "aud": self.settings.client_id, "sub": sub, "sid": sid, "iat": now,
            "exp": now + 120, "jti": format!("logout {number}"),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}}
        });
        let claims = merged(claims, changes).to_string();
        signed(&claims, "logout+jwt", forgery, &key, &ec, &self.settings.client_secret)
    }
}

/// A compact token of these claims, which its header calls `typ`.
pub(super) fn signed(
    claims: &str,
    typ: &'static str,
    forgery: Forgery,
    key: &Key,
    ec: &Key,
    secret: &str,
) -> String {
    let foreign = (forgery == Forgery::ForeignKey).then(|| Key::generate(&key.kid));
    let own = &*key.kid;
    let (alg, kid, typ, signing) = match forgery {
        Forgery::Nothing => ("RS256", own, typ, Signing::Good(key)),
        Forgery::AlgNone => ("none", own, typ, Signing::None),
        Forgery::Hs256WithSecret => ("HS256", own, typ, Signing::Hs256(secret.as_bytes().to_vec())),
        Forgery::Hs256WithPublicKey => ("HS256", own, typ, Signing::Hs256(key.pem().into_bytes())),
        Forgery::Es256 => ("ES256", EC, typ, Signing::Good(ec)),
        Forgery::BadSignature => ("RS256", own, typ, Signing::Damaged(key)),
        Forgery::ForeignKey => ("RS256", own, typ, Signing::Good(foreign.as_ref().unwrap_or(key))),
        Forgery::UnknownKid => ("RS256", "nobody-knows", typ, Signing::Good(key)),
        Forgery::Typ(typ) => ("RS256", own, typ, Signing::Good(key)),
    };
    let mut header = json!({ "alg": alg, "kid": kid, "typ": typ });
    if typ.is_empty() {
        header.as_object_mut().map(|header| header.remove("typ"));
    }
    token(&header, claims, &signing)
}

/// The end-session endpoint.
pub(super) fn end_session(shared: &Shared, request: &Request) -> Response {
    let parameters = if request.method == "POST" { request.form() } else { request.query() };
    {
        let mut state = shared.lock();
        state.calls.end_session += 1;
        state.calls.end_session_request.clone_from(&parameters);
    }
    let find =
        |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let refused = |text: &str| Response::new(400, "text/plain", text);
    let (hint, client) = (find("id_token_hint"), find("client_id"));
    if hint.is_none() && client.is_none() {
        return refused("neither id_token_hint nor client_id");
    }
    if hint.is_some_and(|hint| !shared.lock().issued.contains(hint)) {
        return refused("id_token_hint is no token of this provider");
    }
    if client.is_some_and(|client| client != shared.settings.client_id) {
        return refused("unknown client_id");
    }
    let frontchannel = shared.lock().frontchannel.clone();
    let Some(back) = find("post_logout_redirect_uri") else { return frame(shared, frontchannel, None) };
    let is_known = origin(back).is_some_and(|origin| shared.lock().origins.contains(&origin));
    let (true, Ok(mut back)) = (is_known && back.ends_with("/logged-out"), Url::parse(back)) else {
        return refused("post_logout_redirect_uri is not registered");
    };
    let mangled = if shared.has("end-session-other-state") { "_INVALID" } else { "" };
    if let Some(state) = find("state").filter(|_| !shared.has("end-session-no-state")) {
        back.query_pairs_mut().append_pair("state", &format!("{state}{mangled}"));
    }
    match frontchannel {
        Some(_) => frame(shared, frontchannel, Some(back.as_str())),
        None => Response::redirect(back.as_str()),
    }
}

/// `GET /sim/frame?at=…`: a logout that the provider begins, at this address or the one that is known.
pub(super) fn framed(shared: &Shared, request: &Request) -> Response {
    let at = request.query().into_iter().find(|(name, _)| name == "at").map(|(_, value)| value);
    let known = shared.lock().frontchannel.clone();
    frame(shared, at.or(known), None)
}

/// A page of the provider's that signs the last session out elsewhere in a frame, and leads onward.
fn frame(shared: &Shared, frontchannel: Option<String>, onward: Option<&str>) -> Response {
    let sid = shared.lock().calls.sid.clone();
    let frame = frontchannel.map(|address| {
        let issuer = shared.issuer();
        if shared.has("frontchannel-mangled") {
            return format!("{address}?iss={issuer}&sid={sid}");
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        format!("{address}?{}", query.append_pair("iss", &issuer).append_pair("sid", &sid).finish())
    });
    Response::html(render("frame", include_str!("../pages/frame.html"), context! { frame, onward }))
}

/// The origin of an address.
pub(super) fn origin(address: &str) -> Option<String> {
    Url::parse(address).ok().map(|url| url.origin().ascii_serialization())
}
