//! The relying party: one OpenID provider or issuer of tokens, its metadata and keys, and the calls to it.
//!
//! *Never:* cookies, sessions, routes, or what a visitor sees.
//! *Source:* OIDC Core, OIDC Discovery, OIDC RP-Initiated, Back-Channel and Front-Channel Logout; RFC 6749, RFC 7636,
//! RFC 9068, RFC 9126, RFC 9207.

mod authorization;
mod bearer;
mod client;
mod failure;
mod http;
mod id_token;
mod json;
mod keys;
mod logout;
mod metadata;
mod person;
mod redeem;
mod settings;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::secret::Secret;
use crate::telemetry::count_provider_error;

pub(crate) use self::authorization::{Authorization, ENROLLED, Freshness, NotSent, RequestValue, Sent};
pub(crate) use self::bearer::{BearerSettings, Claimed, TokenIssuer, TokenRefusal};
pub(crate) use self::client::ClientCertificate;
pub(crate) use self::failure::Failure;
pub(crate) use self::logout::{Addressee, EndSession};
pub(crate) use self::redeem::{Answered, Known, Redemption, RefreshFailure, Refreshed, Verified};
pub(crate) use self::settings::{
    Alg, ClientAuth, Discovery, Endpoints, Keep, PushUse, ResponseMode, Role, Settings, UserInfoUse,
};
pub(crate) use self::trouble::{ProviderError, Trouble};

use self::http::Http;
use self::keys::KeySet;
use self::metadata::Metadata;

/// How long good metadata and keys are used before they are asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// A cold provider is asked at most this often on behalf of visitors.
const SPACING: Duration = Duration::from_secs(1);
/// The longest pause between two tries at a provider that is down.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One provider, for as long as its part of the configuration stays the same.
pub(crate) struct Provider {
    settings: Settings,
    http: Http,
    metadata: ArcSwapOption<Metadata>,
    keys: ArcSwapOption<KeySet>,
    /// Why the last try to get metadata or keys failed.
    trouble: ArcSwapOption<&'static str>,
    /// One fetch at a time; holds when the last one was.
    fetching: Mutex<Option<Instant>>,
    refetches: keys::Refetches,
    logout_refetches: keys::Refetches,
}

/// What a provider says when it is asked, for `check --online`.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) issuer: String,
    /// Whether authorization requests go by PAR.
    pub(crate) is_pushed: bool,
    /// Whether it refuses those that do not.
    pub(crate) requires_push: bool,
}

/// Whether a login can be begun now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Ready,
    Degraded { reason: &'static str },
}

impl Provider {
    /// A provider that has not been asked anything yet.
    ///
    /// # Errors
    /// `ca_file` or `proxy` cannot be used.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let http = Http::new(&settings)?;
        Ok(Self {
            settings,
            http,
            metadata: ArcSwapOption::empty(),
            keys: ArcSwapOption::empty(),
            trouble: ArcSwapOption::empty(),
            fetching: Mutex::new(None),
            refetches: keys::Refetches::default(),
            logout_refetches: keys::Refetches::default(),
        })
    }

    /// The settings that it was made of.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its id in the configuration.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.settings.id
    }

    /// The expected issuer, where it is configured or known already.
    pub(crate) fn issuer(&self) -> Option<String> {
        let known = || self.metadata.load().as_ref().map(|metadata| metadata.issuer.clone());
        self.settings.issuer.clone().or_else(known)
    }

    /// Takes over what the provider of the old configuration knew, if it is the same provider.
    pub(crate) fn adopt(&self, old: &Self) {
        if self.settings.asks_the_same(&old.settings) {
            self.metadata.store(old.metadata.load_full());
            self.keys.store(old.keys.load_full());
        }
    }

    /// Whether a login can be begun and finished now.
    pub(crate) fn health(&self) -> Health {
        match (self.metadata.load().is_some() && self.keys.load().is_some(), &*self.trouble.load()) {
            (true, None) => Health::Ready,
            (_, Some(reason)) => Health::Degraded { reason },
            (false, None) => Health::Degraded { reason: "not-asked-yet" },
        }
    }

    /// Origin of the authorization endpoint, to which browsers are redirected.
    pub(crate) fn authorization_origin(&self) -> Option<String> {
        let metadata = self.metadata.load();
        let endpoint = metadata.as_ref().and_then(|metadata| metadata.authorization.as_ref());
        endpoint.map(|endpoint| endpoint.origin().ascii_serialization())
    }

    /// Fetches metadata and keys; keeps the last good ones when that fails.
    pub(crate) async fn warm(&self) -> Result<(), Failure> {
        let mut last = self.fetching.lock().await;
        *last = Some(Instant::now());
        self.fetch_all().await
    }

    async fn fetch_all(&self) -> Result<(), Failure> {
        let fetched = async {
            let metadata = metadata::fetch(&self.settings, &self.http).await?;
            let keys = keys::fetch(&self.http, &metadata.jwks).await;
            self.metadata.store(Some(Arc::new(metadata)));
            self.keys.store(Some(Arc::new(keys?)));
            Ok(())
        };
        let result: Result<(), Failure> = fetched.await;
        match &result {
            Ok(()) => self.trouble.store(None),
            Err(failure) => self.note(failure),
        }
        result
    }

    fn note(&self, failure: &Failure) {
        count_provider_error(self.id(), failure.reason());
        tracing::warn!(
            provider.name = &**self.id(), policy.reason = failure.reason(), error.message = %failure,
            "provider cannot be used as it answers"
        );
        self.trouble.store(Some(Arc::new(failure.reason())));
    }

    /// Keeps metadata and keys warm until told to stop: with growing pauses while that fails.
    pub(crate) async fn keep_warm(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = Duration::from_secs(1);
        // A provider that was taken over warm need not be asked at once.
        let mut wait = if self.health() == Health::Ready { FRESH } else { Duration::ZERO };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.warm().await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    FRESH
                }
                Err(_) => {
                    let now = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    now
                }
            };
        }
    }

    /// The metadata; a cold provider is asked once for all who wait.
    async fn metadata(&self) -> Result<Arc<Metadata>, Failure> {
        if let Some(metadata) = self.metadata.load_full() {
            return Ok(metadata);
        }
        let mut last = self.fetching.lock().await;
        if self.metadata.load().is_none() && last.is_none_or(|last| last.elapsed() > SPACING) {
            *last = Some(Instant::now());
            let warmed = tokio::time::timeout(self.settings.timeout, self.fetch_all()).await;
            warmed.map_err(|_| Failure::NoAnswer("discovery"))??;
        }
        let reason = self.trouble.load().as_ref().map_or("not-asked-yet", |reason| **reason);
        self.metadata.load_full().ok_or(Failure::Cold(reason))
    }

    /// Asks for metadata and keys anew and tells what was found, for `check --online`.
    ///
    /// # Errors
    /// What keeps a login from being begun.
    pub(crate) async fn probe(&self) -> Result<Probe, Failure> {
        self.warm().await?;
        let metadata = self.metadata().await?;
        authorization::obstacle(&self.settings, &metadata)?;
        Ok(Probe {
            issuer: metadata.issuer.clone(),
            is_pushed: authorization::is_pushed(&self.settings, &metadata),
            requires_push: metadata.requires_push,
        })
    }

    /// Sends an authorization request on its way, and tells where to send the browser.
    ///
    /// # Errors
    /// The provider's metadata cannot be had, or it does not take the request.
    pub(crate) async fn authorization(&self, request: &Authorization<'_>) -> Result<Sent, NotSent> {
        let metadata = self.metadata().await?;
        let sent = tokio::time::timeout(self.settings.timeout, authorization::send(self, &metadata, request));
        let sent = sent.await.unwrap_or(Err(Failure::NoAnswer("pushed authorization").into()));
        if let Err(NotSent::Failed(failure)) = &sent {
            count_provider_error(self.id(), failure.reason());
        }
        sent
    }

    /// The one language of `ui_locales`: the most wanted that the provider's metadata list, else `own` where they
    /// list none (OIDC Core §3.1.2.1).
    pub(crate) fn locale(&self, wanted: &[&str], own: &str) -> Option<String> {
        let metadata = self.metadata.load();
        let spoken = metadata.as_ref().map(|metadata| metadata.ui_locales.as_slice()).unwrap_or_default();
        authorization::locale(spoken, wanted, own).map(str::to_owned)
    }

    /// Checks `iss` of an authorization response (RFC 9207 §2.4): when it comes, and that it comes when promised.
    ///
    /// # Errors
    /// It names another issuer, or is missing though the metadata promise it.
    pub(crate) fn check_answer_iss(&self, iss: Option<&str>) -> Result<(), Failure> {
        let metadata = self.metadata.load();
        let expected =
            metadata.as_ref().map(|metadata| metadata.issuer.as_str()).or(self.settings.issuer.as_deref());
        let promised = metadata.as_ref().is_some_and(|metadata| metadata.promises_iss);
        match (iss, expected) {
            (Some(iss), Some(expected)) if iss == expected => Ok(()),
            (None, _) if !promised => Ok(()),
            (Some(_), _) => Err(Failure::Answer("iss-mismatch")),
            (None, _) => Err(Failure::Answer("iss-missing")),
        }
    }

    /// Exchanges a code and verifies who came; everything within one deadline, nothing twice.
    ///
    /// # Errors
    /// Everything that keeps the answer from being believed.
    pub(crate) async fn redeem(&self, redemption: &Redemption<'_>) -> Result<Verified, Failure> {
        let result = tokio::time::timeout(self.settings.timeout, redeem::redeem(self, redemption)).await;
        let result = result.unwrap_or(Err(Failure::NoAnswer("token")));
        if let Err(failure) = &result {
            count_provider_error(self.id(), failure.reason());
        }
        result
    }
}

/// An OAuth error code, bounded and printable (RFC 6749 §5.2).
fn oauth_word(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}

impl Provider {
    /// Sends a refresh token, once (`now` is in Unix seconds); what comes back is to be stored before it is confirmed.
    ///
    /// # Errors
    /// For now, or for good.
    pub(crate) async fn refresh(&self, token: &Secret, now: u64) -> Result<Answered, RefreshFailure> {
        self.within_deadline("token", redeem::send_refresh(self, token, now)).await
    }

    /// Verifies the answer to a refresh and asks UserInfo anew: the same person, and what is true of them now.
    ///
    /// # Errors
    /// For now, or for good.
    pub(crate) async fn confirm(
        &self,
        answered: Answered,
        known: &Known<'_>,
    ) -> Result<Refreshed, RefreshFailure> {
        self.within_deadline("userinfo", redeem::confirm(self, answered, known)).await
    }

    async fn within_deadline<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, RefreshFailure>>,
    ) -> Result<T, RefreshFailure> {
        let result = tokio::time::timeout(self.settings.timeout, work).await;
        let result = result.unwrap_or(Err(RefreshFailure::Temporary(Failure::NoAnswer(step))));
        if let Err(failure) = &result {
            count_provider_error(self.id(), failure.reason());
        }
        result
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("id", &self.settings.id).finish_non_exhaustive()
    }
}
