//! Mutations that know what JSON is: a value of another type, a field twice, absurd numbers, odd texts.

use fastrand::Rng;
use serde_json::{Value, json};

/// No text is made longer by being repeated, in bytes.
const LONGEST: usize = 1 << 16;

/// Changes the first JSON text in the input, if there is one, and leaves the rest as it is.
pub fn mutate(rng: &mut Rng, input: &[u8]) -> Option<Vec<u8>> {
    let start = input.iter().position(|byte| b"{[".contains(byte))?;
    let mut values = serde_json::Deserializer::from_slice(&input[start..]).into_iter::<Value>();
    let mut value = values.next()?.ok()?;
    let end = start + values.byte_offset();
    let count = 1 + rng.usize(..3);
    for _ in 0..count {
        let places = places(&value);
        let place = &places[rng.usize(..places.len())];
        let donor = value.pointer(&places[rng.usize(..places.len())]).cloned();
        if let Some(found) = value.pointer_mut(place) {
            change(rng, found, donor.unwrap_or_default());
        }
    }
    let text = match rng.u8(..4) {
        0 => serde_json::to_string_pretty(&value),
        _ => serde_json::to_string(&value),
    };
    Some([&input[..start], text.ok()?.as_bytes(), &input[end..]].concat())
}

/// Where the values are, as JSON pointers.
fn places(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut add = |name: &str, inner: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(places(inner).iter().map(|rest| format!("/{name}{rest}")));
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| add(name, inner)),
        Value::Array(items) => {
            let all = items.iter().enumerate();
            all.for_each(|(index, inner)| add(&index.to_string(), inner));
        }
        _ => {}
    }
    found
}

fn change(rng: &mut Rng, value: &mut Value, donor: Value) {
    *value = match rng.u8(..12) {
        0 => Value::Null,
        1 => donor,
        2 => json!([value.clone()]),
        3 => json!({"data": value.clone(), "": null}),
        4 => number(rng),
        5 => Value::Bool(rng.bool()),
        6 => json!(value.to_string()),
        7 => json!(odd_text(rng)),
        8 => json!(format!(
            "{}{}",
            value.as_str().unwrap_or_default(),
            odd_text(rng)
        )),
        9 => {
            // Several times in a row that would be all the memory there is.
            let text = value.as_str().unwrap_or("x").to_owned();
            let room = LONGEST / text.len().max(1);
            json!(text.repeat(1 + rng.usize(..200).min(room)))
        }
        10 => (0..rng.usize(..100)).fold(value.clone(), |inner, _| json!([inner])),
        _ => {
            // A field less, or one under another name.
            if let Some(fields) = value.as_object_mut() {
                let names: Vec<String> = fields.keys().cloned().collect();
                if let Some(name) = rng.choice(names) {
                    let taken = fields.remove(&name).unwrap_or_default();
                    if rng.bool() {
                        fields.insert(odd_text(rng).to_owned(), taken);
                    }
                }
            }
            return;
        }
    };
}

fn number(rng: &mut Rng) -> Value {
    match rng.u8(..9) {
        0 => json!(0),
        1 => json!(-1),
        2 => json!(u64::MAX),
        3 => json!(i64::MIN),
        4 => json!(1e300),
        5 => json!(0.5),
        6 => json!(u32::MAX),
        7 => json!(rng.i64(..)),
        _ => json!(rng.f64() * 1e10),
    }
}

/// Texts that have caused trouble somewhere.
pub fn odd_text(rng: &mut Rng) -> &'static str {
    const TEXTS: [&str; 40] = [
        "",
        "\0",
        "\n",
        "\r\n",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{9b}",
        "\u{202e}",
        "\u{2028}",
        "\u{feff}",
        "\u{e0041}",
        "\u{fffd}",
        "\u{10ffff}",
        "é",
        "İ",
        "ß",
        "%",
        "%00",
        "%2F",
        "%zz",
        "%%",
        "/",
        "//",
        "../",
        "/./",
        "\\",
        "://",
        "@",
        ":",
        "?",
        "#",
        "&",
        "=",
        ",",
        ";",
        "{{",
        "}}",
        "|",
        "18446744073709551616",
        "1e999",
    ];
    TEXTS[rng.usize(..TEXTS.len())]
}
