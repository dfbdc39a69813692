//! Children that tell on standard output what becomes of them.

use super::run::Run;

/// Says when it starts and when it is told to end.
pub const TELLING: [&str; 3] = [
    "sh",
    "-c",
    r#"
trap 'echo term; exit 7' TERM
echo start
while :; do sleep 0.05; done"#,
];

/// Says who it is too, and that it was sent HUP, which it survives.
pub const TELLING_WHO: [&str; 3] = [
    "sh",
    "-c",
    r#"
trap 'echo "term $PGUSER"; exit 7' TERM
trap 'echo "hup $PGUSER"' HUP
echo "start $PGUSER"
while :; do sleep 0.05; done"#,
];

/// A child that says who it is, and how it is told to end.
pub fn telling_who(run: Run) -> Run {
    run.child(TELLING_WHO)
}

/// How many lines begin with that word.
pub fn count(text: &str, word: &str) -> usize {
    text.lines().filter(|line| line.starts_with(word)).count()
}
