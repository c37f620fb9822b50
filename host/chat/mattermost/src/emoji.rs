//! Converts between Mattermost's emoji names and the engine's emoji characters.

use emojis::SkinTone;

const TONES: [(&str, SkinTone); 5] = [
    ("_medium_light_skin_tone", SkinTone::MediumLight),
    ("_medium_dark_skin_tone", SkinTone::MediumDark),
    ("_light_skin_tone", SkinTone::Light),
    ("_medium_skin_tone", SkinTone::Medium),
    ("_dark_skin_tone", SkinTone::Dark),
];

/// Returns Mattermost's name of an emoji; `None` for an emoji without a name. `👍` gives `+1`.
pub(crate) fn name_of(letters: &str) -> Option<&'static str> {
    // The crate's table has some emoji with a variation selector (U+FE0F) and some without.
    let bare = letters.trim_end_matches('\u{fe0f}');
    let known =
        emojis::get(letters).or_else(|| emojis::get(bare)).or_else(|| emojis::get(&format!("{bare}\u{fe0f}")))?;
    known.shortcode()
}

/// Returns the emoji for one of Mattermost's emoji names. `+1` gives `👍`; a custom emoji of the server gives `:name:`.
pub(crate) fn of_name(name: &str) -> String {
    let tone = TONES.iter().find_map(|(end, tone)| Some((name.strip_suffix(end)?, *tone)));
    let toned = tone.and_then(|(name, tone)| emojis::get_by_shortcode(name)?.with_skin_tone(tone));
    match toned.or_else(|| emojis::get_by_shortcode(name)) {
        Some(emoji) => emoji.as_str().to_owned(),
        None => format!(":{name}:"),
    }
}

/// Returns whether one of Mattermost's emoji names is a 👍 or 👎 of any skin tone, with which people vote.
pub(crate) fn is_vote(name: &str) -> bool {
    of_name(name).starts_with(['👍', '👎'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_emoji_of_the_engine_has_its_name_on_mattermost() {
        // Mattermost rejects any other name as unknown.
        let names = [
            ("👀", "eyes"),
            ("✅", "white_check_mark"),
            ("❌", "x"),
            ("⚠️", "warning"),
            ("⚠", "warning"),
            ("⛔", "no_entry"),
            ("🚫", "no_entry_sign"),
            ("⌛", "hourglass"),
            ("❓", "question"),
            ("❔", "grey_question"),
            ("👍", "+1"),
            ("👎", "-1"),
        ];
        for (letters, name) in names {
            assert_eq!(name_of(letters), Some(name), "{letters}");
        }
        assert!(matches!(name_of("✋"), Some("hand" | "raised_hand")), "{:?}", name_of("✋"));
        assert_eq!(name_of("no emoji"), None);
    }

    #[test]
    fn a_thumb_is_recognized_by_each_name_and_skin_tone() {
        for name in ["+1", "thumbsup"] {
            assert_eq!(of_name(name), "👍");
        }
        for name in ["-1", "thumbsdown"] {
            assert_eq!(of_name(name), "👎");
        }
        assert_eq!(of_name("+1_dark_skin_tone"), "👍🏿");
        assert_eq!(of_name("thumbsup_medium_light_skin_tone"), "👍🏼");
        assert_eq!(of_name("our_logo"), ":our_logo:");
        assert!(is_vote("thumbsdown_dark_skin_tone") && !is_vote("eyes") && !is_vote("our_logo"));
    }
}
