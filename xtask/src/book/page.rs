//! Reads the links, anchors and code blocks of a Markdown page.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};
use pulldown_cmark::{BrokenLink, CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use super::include;

/// A parsed page.
pub(super) struct Page {
    pub(super) lines: usize,
    pub(super) links: Vec<Link>,
    /// The ids of headings and of HTML elements.
    pub(super) anchors: BTreeSet<String>,
    pub(super) blocks: Vec<Block>,
    /// The line and the label of each reference such as `[text][label]` whose label is not defined.
    pub(super) undefined: Vec<(usize, String)>,
}

/// A link or an image.
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) target: String,
}

/// A fenced code block.
pub(super) struct Block {
    /// The line of the page at which the code begins.
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) text: String,
}

impl Page {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut page = Self::parse(&text);
        // Add the headings of included pages. Links of an included page are checked in that page.
        if let Ok(expanded) = include::expanded(file, &text)
            && expanded != text
        {
            page.anchors = Self::parse(&expanded).anchors;
        }
        Ok(page)
    }

    fn parse(text: &str) -> Self {
        let line = |offset: usize| text[..offset].matches('\n').count() + 1;
        let undefined = RefCell::new(Vec::new());
        let broken = |link: BrokenLink<'_>| {
            // `[text]` without a label is plain text.
            if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
                undefined.borrow_mut().push((line(link.span.start), link.reference.to_string()));
            }
            None::<(CowStr<'_>, CowStr<'_>)>
        };
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_FOOTNOTES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_HEADING_ATTRIBUTES;
        let parser = Parser::new_with_broken_link_callback(text, options, Some(broken));

        let mut page = Self {
            lines: text.lines().count(),
            links: Vec::new(),
            anchors: BTreeSet::new(),
            blocks: Vec::new(),
            undefined: Vec::new(),
        };
        let mut heading: Option<(Option<String>, String)> = None;
        let mut block: Option<Block> = None;
        for (event, Range { start, .. }) in parser.into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { id, .. }) => {
                    heading = Some((id.map(|id| id.to_string()), String::new()));
                }
                Event::End(TagEnd::Heading(_)) => {
                    if let Some((id, text)) = heading.take() {
                        page.anchor(&id.unwrap_or_else(|| slug(&text)));
                    }
                }
                Event::Start(Tag::Link { link_type: LinkType::Email, .. }) => {}
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Link { line: line(start), target: dest_url.to_string() });
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    let language = info.split([',', ' ']).next().unwrap_or_default().to_owned();
                    block = Some(Block { line: line(start) + 1, language, text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Html(html) | Event::InlineHtml(html) if !html.starts_with("<!--") => {
                    let targets = ["href", "src"].into_iter().flat_map(|name| values(&html, name));
                    page.links.extend(targets.map(|target| Link { line: line(start), target }));
                    page.anchors.extend(["id", "name"].into_iter().flat_map(|name| values(&html, name)));
                }
                Event::Text(text) => match (&mut heading, &mut block) {
                    (Some((_, heading)), _) => heading.push_str(&text),
                    (_, Some(block)) => block.text.push_str(&text),
                    _ => {}
                },
                Event::Code(text) => {
                    if let Some((_, heading)) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page.undefined = undefined.take();
        page
    }

    /// Adds the id of a heading. If the id is already taken, appends `-1`, `-2` and so on.
    fn anchor(&mut self, id: &str) {
        let numbered = (1..).map(|number| format!("{id}-{number}"));
        let free = std::iter::once(id.to_owned()).chain(numbered).find(|id| !self.anchors.contains(id));
        self.anchors.extend(free);
    }
}

/// Returns the id that mdBook and GitHub generate for the text of a heading.
fn slug(text: &str) -> String {
    let kept = |letter: char| match letter {
        '_' | '-' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ if letter.is_whitespace() => Some('-'),
        _ => None,
    };
    text.trim().to_lowercase().chars().filter_map(kept).collect()
}

/// Returns the values of an attribute in some HTML.
fn values(html: &str, attribute: &str) -> Vec<String> {
    let pattern = format!(" {attribute}=\"");
    html.split(&pattern).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}
