//! What a provider says went wrong, as a closed list that pages can speak about.
//! Pure.
//!
//! *Source:* RFC 6749 §4.1.2.1, OIDC Core §3.1.2.6; Mobile ID's table of `mid_<category>_<code>_<trace>`.

/// Why a login did not come to its end, by what a person or the operator can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The person cancelled on the phone (3010, 3011, 3014).
    Rejected,
    /// No answer on the phone in time (3012, 3015, 3300).
    NoAnswer,
    /// The wrong number was chosen on the phone (3013).
    WrongNumber,
    /// Consent was refused (3020).
    ConsentRefused,
    /// The phone's serial number is not the enrolled one (3030).
    SerialMismatch,
    /// The location check failed (3040, 3100 to 3125).
    LocationFailed,
    /// A SIM is needed (3070).
    SimNeeded,
    /// No method is available for this person (3080).
    NoMethod,
    /// The code sent by SMS was wrong (3090).
    SmsCodeWrong,
    /// Another authentication is running (3310).
    AnotherRunning,
    /// The passkey does not match (3500).
    PasskeyMismatch,
    /// The provider or the person refused, without more detail (`access_denied`).
    Refused,
    /// The provider needs a sign-in that it was not allowed to ask for (`login_required` and kin).
    LoginRequired,
    /// The provider is out of order for now (`mid_sys`, `server_error`, `temporarily_unavailable`).
    Unavailable,
    /// Our request is wrong: the operator's to mend (`mid_req`, `invalid_request`, …).
    BadRequest,
    /// Our contract does not allow it: the operator's to mend (`mid_sec`, `unauthorized_client`, …).
    NotAllowed,
    /// Nothing that we know.
    Unknown,
}

/// A provider's error answer, read and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderError {
    /// What it means to a person.
    pub(crate) trouble: Trouble,
    /// The OAuth error code, at most 64 characters of it, printable ASCII only; for the log.
    pub(crate) error: String,
    /// Mobile ID's code such as `mid_auth_3010`, for the log.
    pub(crate) code: Option<String>,
    /// The trace that the provider's support asks for, at most 64 characters, printable ASCII only.
    pub(crate) trace: Option<String>,
}
