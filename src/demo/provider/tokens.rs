//! Tokens and UserInfo of a simulated provider: right ones, and wrong in every way that a fault names.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::super::http::Response;
use super::super::jose::{Key, Signing, sha256, token};
use super::manner::PEOPLE;
use super::{Grant, Manner, Mint, Shared, now};

impl Shared {
    /// The answer of the token endpoint.
    pub(super) fn tokens(&self, grant: Grant, refresh_token: Option<String>) -> Response {
        let access = format!("TOKEN_zz{}", sha256(&format!("{:?} {:?}", grant.at, Instant::now())));
        let id_token = self.id_token(&grant, &access);
        {
            let mut state = self.lock();
            state.access.insert(access.clone(), grant.clone());
            state.issued.insert(id_token.clone());
            state.calls.id_token.clone_from(&id_token);
        }
        let mut answer = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": 3600, "id_token": id_token,
            "scope": grant.parameters.get("scope")
        });
        if let Some(refresh_token) = refresh_token {
            answer["refresh_token"] = json!(refresh_token);
        }
        if let Some(expires_in) = self.lock().expires_in.clone() {
            answer["expires_in"] = expires_in;
        }
        for (fault, name, value) in [
            ("token-expires-string", "expires_in", json!("3599")),
            ("token-expires-float", "expires_in", json!(3599.5)),
            ("token-expires-negative", "expires_in", json!(-1)),
            ("token-expires-huge", "expires_in", json!(1e300)),
            ("token-expires-missing", "expires_in", Value::Null),
            ("token-type-odd", "token_type", json!("bEARER")),
            ("token-type-wrong", "token_type", json!("mac")),
            ("token-no-id-token", "id_token", Value::Null),
            ("token-odd-access-token", "access_token", json!("TOKEN_zz odd,token")),
        ] {
            if self.has(fault) {
                answer[name] = value;
            }
        }
        Response::json(200, &answer).with("Cache-Control", "no-store")
    }

    fn id_token(&self, grant: &Grant, access: &str) -> String {
        let key = self.signing_key("");
        let claims = self.id_token_claims(grant, &key.at_hash(access));
        {
            let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut state = self.lock();
            (state.calls.sid, state.calls.sub) = (text("sid"), text("sub"));
        }
        let forge = self.lock().forge.clone();
        match forge {
            Some(forge) => {
                let header = json!({ "alg": key.alg, "typ": "JWT", "kid": key.kid });
                forge(&Mint::new(header, Value::Object(claims), &key))
            }
            None => self.compact("", claims, &key),
        }
    }

    /// A token of these claims; the faults of the ID token have no name before theirs.
    fn compact(&self, of: &str, claims: Map<String, Value>, key: &Key) -> String {
        let has = |fault: &str| self.has(&format!("{of}{fault}"));
        let mut header = json!({ "alg": key.alg, "typ": "JWT", "kid": key.kid });
        let mut signing = Signing::Good(key);
        for (fault, alg) in [("alg-none", "none"), ("alg-none-odd", "nOnE")] {
            if has(fault) {
                header["alg"] = json!(alg);
                signing = Signing::None;
            }
        }
        if has("alg-hs256-secret") {
            header["alg"] = json!("HS256");
            signing = Signing::Hs256(self.settings.client_secret.clone().into_bytes());
        }
        if has("alg-hs256-public-key") {
            header["alg"] = json!("HS256");
            signing = Signing::Hs256(key.pem().into_bytes());
        }
        if has("alg-ps256") {
            header["alg"] = json!("PS256");
        }
        if has("bad-signature") {
            signing = Signing::Damaged(key);
        }
        if has("empty-signature") {
            signing = Signing::Empty;
        }
        if has("no-kid") {
            header.as_object_mut().map(|header| header.remove("kid"));
        }
        for (fault, name, value) in [
            ("unknown-kid", "kid", json!("nobody-knows")),
            ("crit", "crit", json!(["x"])),
            ("zip", "zip", json!("DEF")),
            ("jwk-header", "jwk", key.jwk("sig")),
        ] {
            if has(fault) {
                header[name] = value;
            }
        }
        let mut payload = Value::Object(claims).to_string();
        if has("duplicate-member") {
            payload = payload.replacen('{', "{\"sub\":\"mallory\",", 1);
        }
        let compact = token(&header, &payload, &signing);
        if has("four-parts") { format!("{compact}.x") } else { compact }
    }

    /// A foreign key for the faults that bring one along.
    fn signing_key(&self, of: &str) -> Key {
        let own = self.lock().keys.first().cloned();
        let is_foreign = ["jwk-header", "foreign-key"].iter().any(|fault| self.has(&format!("{of}{fault}")));
        match own {
            Some(key) if !is_foreign => key,
            Some(key) => Key::of(&key.kid, key.alg),
            None => Key::generate("none"),
        }
    }

    fn id_token_claims(&self, grant: &Grant, at_hash: &str) -> Map<String, Value> {
        let now = now();
        let manner = self.settings.manner;
        let asked = |name: &str| grant.parameters.get(name).map(String::as_str);
        let person = self.person_claims(grant);
        let usual = manner.levels().first().copied().unwrap_or_default();
        let acr = asked("acr_values").and_then(|acr| acr.split(' ').next()).unwrap_or(usual);
        let mut claims = json!({
            "iss": self.issuer(), "sub": person.get("sub"), "aud": self.settings.client_id, "exp": now + 300,
            "iat": now, "auth_time": grant.auth_time, "nonce": asked("nonce"), "at_hash": at_hash, "acr": acr,
            "amr": if manner == Manner::MobileId { json!(["mid_sim", "hwk"]) } else { json!(["pin"]) }
        });
        if manner == Manner::B2c {
            claims = merged(claims, &person);
        }
        if matches!(manner, Manner::Idemia | Manner::Plain) {
            // Every login is a session of its own here.
            claims["sid"] = json!(sha256(&format!("sid {:?}", grant.at)));
        }
        let claims = merged(claims, &self.faulty(now));
        let patch = self.lock().id_token.clone();
        merged(Value::Object(claims.as_object().cloned().unwrap_or_default()), &Value::Object(patch))
            .as_object()
            .cloned()
            .unwrap_or_default()
    }

    /// What the faults make of the claims; `null` removes.
    fn faulty(&self, now: u64) -> Value {
        let us = &self.settings.client_id;
        let mut patch = Map::new();
        for (fault, name, value) in [
            ("wrong-nonce", "nonce", json!("wrong")),
            ("missing-nonce", "nonce", Value::Null),
            ("wrong-aud", "aud", json!(format!("{us}1"))),
            ("missing-aud", "aud", Value::Null),
            ("aud-array-ours", "aud", json!([us])),
            ("aud-several-no-azp", "aud", json!([us, "other"])),
            ("wrong-azp", "azp", json!("other")),
            ("expired", "exp", json!(now - 3600)),
            ("missing-exp", "exp", Value::Null),
            ("text-exp", "exp", json!("x")),
            ("huge-exp", "exp", json!(1e300)),
            ("missing-iat", "iat", Value::Null),
            ("future-iat", "iat", json!(now + 3600)),
            ("future-nbf", "nbf", json!(now + 3600)),
            ("wrong-iss", "iss", json!(format!("{}1", self.issuer()))),
            ("missing-sub", "sub", Value::Null),
            ("empty-sub", "sub", json!("")),
            ("number-sub", "sub", json!(7)),
            ("long-sub", "sub", json!("s".repeat(300))),
            ("weaker-acr", "acr", json!(self.settings.manner.weakest())),
            ("missing-acr", "acr", Value::Null),
            ("acr-array", "acr", json!(["loa-4"])),
            ("wrong-at-hash", "at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
            ("missing-auth-time", "auth_time", Value::Null),
            ("future-auth-time", "auth_time", json!(now + 7200)),
            ("old-auth-time", "auth_time", json!(now - 7200)),
        ] {
            if self.has(fault) {
                patch.insert(name.to_owned(), value);
            }
        }
        Value::Object(patch)
    }

    fn person_claims(&self, grant: &Grant) -> Value {
        PEOPLE.get(grant.person).map_or(Value::Null, |person| self.claims(person))
    }

    /// The answer of the UserInfo endpoint.
    pub(super) fn userinfo(&self, grant: &Grant) -> Response {
        for (fault, response) in [
            ("userinfo-500", Response::new(500, "text/plain", "out of order")),
            ("userinfo-401", Response::json(401, &json!({ "error": "invalid_token" }))),
            ("userinfo-invalid-json", Response::new(200, "application/json", "{")),
            ("userinfo-array", Response::json(200, &json!([1]))),
            ("userinfo-oversized", Response::json(200, &json!({ "x": "a".repeat(10 << 20) }))),
            ("userinfo-html", Response::html("<html></html>".to_owned())),
        ] {
            if self.has(fault) {
                return response;
            }
        }
        let person = self.person_claims(grant);
        let sub = person.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut patch = Map::new();
        for (fault, name, value) in [
            ("userinfo-wrong-sub", "sub", json!(format!("{sub}invalid"))),
            ("userinfo-missing-sub", "sub", Value::Null),
            ("userinfo-adds-acr", "acr", json!("loa-4")),
            ("userinfo-adds-acr", "auth_time", json!(1)),
            ("userinfo-adds-acr", "iss", json!("https://evil.test/")),
            ("userinfo-aggregated", "_claim_names", json!({"payment": "src1"})),
            ("userinfo-aggregated", "_claim_sources", json!({"src1": {"JWT": "eyJhbGciOiJub25lIn0.e30."}})),
            ("userinfo-distributed", "_claim_names", json!({"payment": "src1", "name": "src2"})),
            (
                "userinfo-distributed",
                "_claim_sources",
                json!({
                    "src1": {"endpoint": "http://169.254.169.254/"},
                    "src2": {"endpoint": format!("{}/claims", self.base), "access_token": "x"}
                }),
            ),
            ("name-crlf", "name", json!("Zoë\r\nX-Auth-Acr: loa-4")),
            ("name-long", "name", json!("n".repeat(9000))),
        ] {
            if self.has(fault) {
                patch.insert(name.to_owned(), value);
            }
        }
        let claims = merged(person, &Value::Object(patch));
        let more = Value::Object(self.lock().userinfo.clone());
        if !self.has("userinfo-signed") {
            return Response::json(200, &merged(claims, &more));
        }
        let protocol = json!({ "iss": self.issuer(), "aud": self.settings.client_id });
        let claims = merged(merged(claims, &protocol), &more).as_object().cloned().unwrap_or_default();
        let compact = self.compact("userinfo-", claims, &self.signing_key("userinfo-"));
        Response::new(200, "application/jwt; charset=utf-8", compact)
    }
}

/// A merge in which `null` removes (RFC 7396, one level deep).
pub(super) fn merged(mut base: Value, patch: &Value) -> Value {
    if let (Some(base), Some(patch)) = (base.as_object_mut(), patch.as_object()) {
        for (name, value) in patch {
            if value.is_null() {
                base.remove(name);
            } else {
                base.insert(name.clone(), value.clone());
            }
        }
    }
    base
}
