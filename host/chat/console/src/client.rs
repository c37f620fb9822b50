//! Reads lines from standard input, and prints text and a prompt to standard output.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use tokio::sync::mpsc;

/// Maximum length of an input line, in bytes. A longer line is not sent; the console prints an error instead.
pub(crate) const MAX_LINE: usize = 64 << 10;

/// Prints text to standard output. If standard input is a terminal, prints a prompt, too.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// Whether standard input is a terminal.
    pub(crate) is_interactive: bool,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self { is_interactive: io::stdin().is_terminal() }
    }

    /// Prints text and a line break. If standard input is a terminal, the text overwrites the prompt, and the prompt is
    /// printed again below the text.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.is_interactive {
            write!(out, "\r")?;
        }
        writeln!(out, "{text}")?;
        if self.is_interactive {
            write!(out, "> ")?;
        }
        out.flush()
    }

    /// Prints the prompt if standard input is a terminal.
    pub(crate) fn prompt(&self) -> io::Result<()> {
        if !self.is_interactive {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        write!(out, "\r> ")?;
        out.flush()
    }
}

/// Starts a thread that reads lines from standard input until the input ends, and returns the receiver of the lines. A
/// thread is used and not a task, because a blocking read cannot be cancelled.
pub(crate) fn spawn_line_reader() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut bytes = Vec::new();
        while let Ok(1..) = input.read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            bytes.clear();
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
