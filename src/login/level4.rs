//! Level 4 of Mobile ID: which phone must answer, and whether it was that one.
//!
//! A level-4 request carries the serial number that the person enrolled, and its answer counts only when the phone
//! shows the same one. So the person must be known first: whoever comes without a session signs in at level 3 before.
//!
//! *Source:* Mobile ID's integration guide on level 4 (`sn`, `keyringId`).

use std::io;
use std::sync::Arc;

use super::{LoginError, PendingLogin, Phones};
use crate::enrolment::{Comparison, Enrolments, Phone};
use crate::identity::Identity;
use crate::policy::Ladder;

/// What level 3 is called in general: the first login of a person, and the least at which a phone is learned.
const LEVEL_3: &str = "mid_al3_any";

/// Whether a value of `acr` is of level 4.
pub(crate) fn is_level4(acr: &str) -> bool {
    acr.starts_with("mid_al4")
}

/// How a login goes about a wanted level.
pub(super) enum Plan {
    /// As it was asked.
    AsAsked,
    /// At level 3 first, to learn who it is.
    IdentifyFirst,
    /// With this phone of a known person.
    WithPhone(Phone),
}

impl Plan {
    /// Plans a login at `wanted` for whoever is signed in already.
    ///
    /// # Errors
    /// Nothing is enrolled for the person, or the enrolments cannot be read.
    pub(super) async fn make(
        phones: &Phones,
        wanted: Option<&str>,
        signed_in: Option<&Identity>,
    ) -> Result<Self, LoginError> {
        if !wanted.is_some_and(is_level4) {
            return Ok(Self::AsAsked);
        }
        match (phones, signed_in) {
            (Phones::Unknown, _) => Ok(Self::AsAsked),
            (Phones::Enrolled(_) | Phones::InsecureSession, None) => Ok(Self::IdentifyFirst),
            (Phones::InsecureSession, Some(identity)) => Ok(Self::WithPhone(of_session(identity))),
            (Phones::Enrolled(enrolments), Some(identity)) => {
                let (issuer, subject) = (identity.issuer.to_string(), identity.subject.to_string());
                let found = ask(enrolments, move |enrolments| enrolments.find(&issuer, &subject)).await?;
                let phone = found
                    .filter(Phone::is_known)
                    .ok_or_else(|| LoginError::NotEnrolled { user_key: identity.user_key.to_string() })?;
                Ok(Self::WithPhone(phone))
            }
        }
    }

    /// The phone that must answer.
    pub(super) fn phone(&self) -> Option<&Phone> {
        match self {
            Self::WithPhone(phone) => Some(phone),
            Self::AsAsked | Self::IdentifyFirst => None,
        }
    }
}

/// The one value that a login asks for to learn who somebody is.
pub(crate) fn first_level(ladder: &Ladder) -> Option<&'static str> {
    ladder.knows(LEVEL_3).then_some(LEVEL_3)
}

/// Whether the phone that answered is the enrolled one; the first at level 3 becomes it, none is ever replaced.
///
/// # Errors
/// Another phone, another person, or nothing to compare where the level rests on it.
pub(super) async fn check(
    phones: &Phones,
    pending: &PendingLogin,
    ladder: &Ladder,
    identity: &Identity,
    seen: &Phone,
) -> Result<(), LoginError> {
    let user_key = || identity.user_key.to_string();
    // The provider compared the answer with this person's phone, and with nobody else's.
    if pending.phone_of.as_deref().is_some_and(|asked| *asked != *identity.user_key) {
        return Err(LoginError::OtherPhone { user_key: user_key() });
    }
    let Phones::Enrolled(enrolments) = phones else { return Ok(()) };
    let granted = identity.acr.as_deref().unwrap_or_default();
    // Level 4 rests on a phone that is known already.
    let may_learn = ladder.meets(LEVEL_3, granted) && !is_level4(granted);
    let (issuer, subject, shown) = (identity.issuer.to_string(), identity.subject.to_string(), seen.clone());
    let enrolled = ask(enrolments, move |enrolments| match may_learn {
        true => enrolments.find_or_learn(&issuer, &subject, &shown),
        false => enrolments.find(&issuer, &subject),
    });
    let rests_on_it = is_level4(granted) || pending.phone_of.is_some();
    match enrolled.await?.map(|enrolled| enrolled.compare(seen)) {
        Some(Comparison::Same) => Ok(()),
        Some(Comparison::Different) => Err(LoginError::OtherPhone { user_key: user_key() }),
        Some(Comparison::Nothing) if rests_on_it => Err(LoginError::OtherPhone { user_key: user_key() }),
        None if rests_on_it => Err(LoginError::NotEnrolled { user_key: user_key() }),
        Some(Comparison::Nothing) | None => Ok(()),
    }
}

/// Asks the enrolments beside the requests, since they are in a file.
async fn ask(
    enrolments: &Arc<Enrolments>,
    question: impl FnOnce(&Enrolments) -> io::Result<Option<Phone>> + Send + 'static,
) -> Result<Option<Phone>, LoginError> {
    let enrolments = Arc::clone(enrolments);
    let answer = tokio::task::spawn_blocking(move || question(&enrolments)).await;
    answer.map_err(io::Error::other).flatten().map_err(LoginError::Enrolments)
}

/// What the session itself said of its phone.
fn of_session(identity: &Identity) -> Phone {
    let text = |name: &str| identity.find(name).and_then(|claim| claim.as_str().map(str::to_owned));
    Phone {
        sn: text("mid_profile_serial").or_else(|| text("serial")),
        keyring_id: text("mid_pk_keyringid"),
        phone_number: text("phone_number"),
    }
}
