//! Secrets that must not occur in any output, in the forms in which they could.

/// Every way a secret may be written: as it is, percent-encoded, as JSON escapes it.
fn forms(secret: &str) -> Vec<String> {
    let percent = |upper: bool| -> String {
        let encode = |byte: u8| match byte {
            plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => {
                (plain as char).to_string()
            }
            other if upper => format!("%{other:02X}"),
            other => format!("%{other:02x}"),
        };
        secret.bytes().map(encode).collect()
    };
    let json = serde_json::Value::from(secret).to_string();
    let mut forms = vec![
        secret.to_owned(),
        percent(true),
        percent(false),
        json[1..json.len() - 1].to_owned(),
    ];
    forms.dedup();
    forms
}

/// Panics when `output` has one of the secrets. The message shows neither the secret nor the output.
pub fn assert_absent(secrets: &[String], output: &[u8], whose: &str) {
    for (number, secret) in secrets.iter().enumerate() {
        // Too short to be told from chance.
        if secret.len() < 6 {
            continue;
        }
        for form in forms(secret) {
            let at = output
                .windows(form.len())
                .position(|window| window == form.as_bytes());
            assert!(
                at.is_none(),
                "secret number {number} ({} bytes) is in {whose} at byte {}",
                secret.len(),
                at.unwrap_or(0)
            );
        }
    }
}
