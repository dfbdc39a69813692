//! What a JWT says of its own time. Its signature is the server's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// The server's own leeway for clocks that differ, where a role says nothing else.
const LEEWAY: Duration = Duration::from_secs(60);
/// No time is longer, in seconds: a thousand years.
const LONGEST: f64 = 31_557_600_000.0;

/// When a JWT ends, if it does.
///
/// # Errors
/// Why it is none, or what its end was if it cannot be used any more.
pub fn end(jwt: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let parts: Vec<&str> = jwt.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return Err("it is not a JWT, which has three parts with dots between them".to_owned());
    };
    let none = || "it is not a JWT: its parts are not JSON in base64".to_owned();
    object(header).ok_or_else(none)?;
    let claims = object(payload).ok_or_else(none)?;
    if signature.is_empty() {
        return Err("it is a JWT without a signature".to_owned());
    }
    let end = match claims.get("exp") {
        None => return Ok(None),
        Some(exp) => exp.as_f64().filter(|exp| (0.0..LONGEST).contains(exp)),
    };
    let end = end.ok_or_else(|| "it is a JWT whose `exp` is no time".to_owned())?;
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(end);
    if end + LEEWAY <= now {
        let at = humantime::format_rfc3339_seconds(end);
        return Err(format!("it is a JWT that has expired, at {at}"));
    }
    Ok(Some(end))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(part).ok()?);
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part("{\"alg\":\"ES256\"}"), part(payload))
    }

    #[test]
    fn a_jwt_says_when_it_ends() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(1000);
        assert_eq!(end(&jwt("{\"sub\":\"x\"}"), now), Ok(None));
        assert_eq!(end(&jwt("{\"exp\":1001}"), now), Ok(Some(at(1001))));
        assert_eq!(end(&jwt("{\"exp\":1000.0}"), now), Ok(Some(at(1000))));
        // Within the leeway that the server gives to clocks.
        assert_eq!(end(&jwt("{\"exp\":941}"), now), Ok(Some(at(941))));
        let words = end(&jwt("{\"exp\":940}"), now).expect_err("over");
        assert_eq!(
            words,
            "it is a JWT that has expired, at 1970-01-01T00:15:40Z"
        );
    }

    #[test]
    fn what_is_no_jwt_is_told_and_not_shown() {
        for text in [
            "hunter2",
            "hunter2.hunter2",
            "hunter2.hunter2.hunter2",
            "a.b.c.d",
            "..",
            &jwt("[1]"),
            &jwt("{\"exp\":\"hunter2\"}"),
            &jwt("{\"exp\":-1}"),
            &jwt("{\"exp\":1e300}"),
            jwt("{}").trim_end_matches("c2ln"),
        ] {
            let words = end(text, SystemTime::now()).expect_err(text);
            assert!(
                words.contains("JWT") && !words.contains("hunter2"),
                "{words}"
            );
        }
    }
}
