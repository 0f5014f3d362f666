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

impl Trouble {
    /// The word for logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NoAnswer => "no-answer",
            Self::WrongNumber => "wrong-number",
            Self::ConsentRefused => "consent-refused",
            Self::SerialMismatch => "serial-mismatch",
            Self::LocationFailed => "location-failed",
            Self::SimNeeded => "sim-needed",
            Self::NoMethod => "no-method",
            Self::SmsCodeWrong => "sms-code-wrong",
            Self::AnotherRunning => "another-running",
            Self::PasskeyMismatch => "passkey-mismatch",
            Self::Refused => "refused",
            Self::LoginRequired => "provider-login-required",
            Self::Unavailable => "provider-unavailable",
            Self::BadRequest => "provider-bad-request",
            Self::NotAllowed => "provider-not-allowed",
            Self::Unknown => "provider-error",
        }
    }
}

impl ProviderError {
    /// Reads `error` and `error_description`; Mobile ID's code in the latter says more than the former.
    pub(crate) fn read(error: &str, description: Option<&str>) -> Self {
        let mid = description.and_then(MidCode::read);
        let trouble = mid.as_ref().and_then(|mid| mid.trouble()).unwrap_or_else(|| of_oauth(error));
        Self {
            trouble,
            error: printable(error),
            code: mid.as_ref().map(|mid| format!("mid_{}_{}", mid.category, mid.number)),
            trace: mid.map(|mid| mid.trace).filter(|trace| !trace.is_empty()),
        }
    }
}

/// `mid_<category>_<code>_<trace> - <message>`, without the message.
struct MidCode<'d> {
    category: &'d str,
    number: u16,
    trace: String,
}

impl<'d> MidCode<'d> {
    fn read(description: &'d str) -> Option<Self> {
        let rest = description.trim_start().strip_prefix("mid_")?;
        let (category, rest) = rest.split_once('_')?;
        ["req", "sec", "auth", "sys"].contains(&category).then_some(())?;
        let (number, rest) = rest.split_once('_').unwrap_or((rest, ""));
        let number = number.split(' ').next()?.parse().ok()?;
        let trace: String = rest.chars().take_while(char::is_ascii_alphanumeric).take(64).collect();
        Some(Self { category, number, trace })
    }

    fn trouble(&self) -> Option<Trouble> {
        let of_person = match self.number {
            3010 | 3011 | 3014 => Trouble::Rejected,
            3012 | 3015 | 3300 => Trouble::NoAnswer,
            3013 => Trouble::WrongNumber,
            3020 => Trouble::ConsentRefused,
            3030 => Trouble::SerialMismatch,
            3040 | 3100..=3125 => Trouble::LocationFailed,
            3070 => Trouble::SimNeeded,
            3080 => Trouble::NoMethod,
            3090 => Trouble::SmsCodeWrong,
            3310 => Trouble::AnotherRunning,
            3500 => Trouble::PasskeyMismatch,
            _ => Trouble::Refused,
        };
        match self.category {
            "auth" => Some(of_person),
            "req" => Some(Trouble::BadRequest),
            "sec" => Some(Trouble::NotAllowed),
            "sys" => Some(Trouble::Unavailable),
            _ => None,
        }
    }
}

fn of_oauth(error: &str) -> Trouble {
    match error {
        "access_denied" => Trouble::Refused,
        "consent_required" => Trouble::ConsentRefused,
        "login_required" | "interaction_required" | "account_selection_required" => Trouble::LoginRequired,
        "server_error" | "temporarily_unavailable" => Trouble::Unavailable,
        "unauthorized_client" | "invalid_scope" => Trouble::NotAllowed,
        "invalid_request" | "unsupported_response_type" | "request_not_supported" => Trouble::BadRequest,
        "invalid_request_uri" | "invalid_request_object" | "request_uri_not_supported" => Trouble::BadRequest,
        // OpenID Connect Core Unmet Authentication Requirements 1.0.
        "unmet_authentication_requirements" => Trouble::NoMethod,
        _ => Trouble::Unknown,
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mobile_id_code_says_more_than_the_oauth_error() {
        for (error, description, trouble, trace) in [
            ("access_denied", "mid_auth_3010_A9W1GLUM - Rejected", Trouble::Rejected, Some("A9W1GLUM")),
            ("access_denied", "mid_auth_3300_X - Timeout", Trouble::NoAnswer, Some("X")),
            ("access_denied", "mid_auth_3110_X - Geo", Trouble::LocationFailed, Some("X")),
            ("access_denied", "mid_auth_3999_X - New", Trouble::Refused, Some("X")),
            (
                "invalid_scope",
                "mid_sec_2010_A9W1GLUM - Unauthorized scopes",
                Trouble::NotAllowed,
                Some("A9W1GLUM"),
            ),
            ("invalid_request", "mid_req_1010_Q - acr", Trouble::BadRequest, Some("Q")),
            ("server_error", "mid_sys_9000 - out", Trouble::Unavailable, None),
            ("access_denied", "no thanks", Trouble::Refused, None),
            ("login_required", "", Trouble::LoginRequired, None),
            ("odd", "mid_x_1_y", Trouble::Unknown, None),
            ("access_denied", "mid_auth_3010_<script>", Trouble::Rejected, None),
        ] {
            let read = ProviderError::read(error, Some(description));
            assert_eq!((read.trouble, read.trace.as_deref()), (trouble, trace), "{description}");
        }
    }

    #[test]
    fn what_a_provider_says_is_bounded_and_printable() {
        let read = ProviderError::read(&format!("a\r\nb{}", "c".repeat(500)), Some("\u{1b}[31m"));
        assert_eq!(read.error.len(), 64);
        assert!(read.error.starts_with("abc"));
    }
}
