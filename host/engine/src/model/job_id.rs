//! The ids of jobs, as people type them.

/// The characters of a job's id: digits and small letters that are not mistaken for each other.
pub(crate) const ID_CHARACTERS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
pub(crate) const ID_LENGTH: usize = 5;

/// Returns whether a word has the form of a job's id, such as `7f3ak`. Ignores upper and lower case.
pub(crate) fn is_job_id(word: &str) -> bool {
    word.len() == ID_LENGTH && word.bytes().all(|sign| ID_CHARACTERS.contains(&sign.to_ascii_lowercase()))
}

/// Splits the argument of `approve` or `deny` into the job's id and the number of the approval request. The number is
/// `None` for an argument such as `7f3ak`.
pub(crate) fn parse_job_argument(text: &str) -> (&str, Option<u32>) {
    match text.rsplit_once('-').map(|(job, ask)| (job, ask.parse())) {
        Some((job, Ok(ask))) => (job, Some(ask)),
        _ => (text, None),
    }
}
