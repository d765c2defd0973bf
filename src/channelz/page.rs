//! The same facts for people: plain HTML, without scripts, each thing a page of its own with links to what belongs to it.
//!
//! Names, causes and addresses come from peers and are hostile until proven otherwise: all text goes through [`Text`]. Pure but for
//! what is asked of [`crate::stats`].

use std::fmt::{self, Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::reactor::clock::{self, Wall};
use crate::stats::{
    self, CallStats, ChannelStats, ServerStats, SocketStats, SubchannelStats, TraceStats,
};

/// Rows of a list; the next ones are a page further.
const ROWS: usize = 100;

/// The page at this path, as HTML. `None`: there is none, or what it told of is gone.
///
/// `/` has servers and channels, `/servers` and `/channels` either of them; `/server/3`, `/channel/7`, `/subchannel/8` and `/socket/9` have one of these, by its number. Long lists
/// go on at `?from=`, with a number. For a program that has an HTTP server of its own; [`answer_page`](super::answer_page) is a small one.
///
/// Whatever peers have sent stands in it escaped. It has no scripts, and asks for nothing else.
///
/// ```
/// use grpc_threads::channelz::page;
///
/// let channel = grpc_threads::insecure_channel("localhost:50051")?;
/// let html = page(&format!("/channel/{}", channel.stats().id)).expect("it lives");
/// assert!(html.contains("localhost:50051"));
/// assert_eq!(page("/no/such/page"), None);
/// # Ok::<(), grpc_threads::ConfigError>(())
/// ```
#[must_use]
pub fn page(path: &str) -> Option<String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let from = query.split('&').find_map(|part| part.strip_prefix("from="));
    let from = from.map_or(Some(0), number)?;
    let mut parts = path.split('/').skip(1);
    let (kind, id) = (parts.next()?, parts.next().map(number));
    if parts.next().is_some() {
        return None;
    }
    let html = match (kind, id) {
        ("", None) => overview(from),
        ("servers", None) => list("Servers", from, servers),
        ("channels", None) => list("Channels", from, channels),
        ("server", Some(id)) => one_server(id?, from)?,
        ("channel", Some(id)) => one_channel(&stats::channel(id?)?),
        ("subchannel", Some(id)) => one_subchannel(&stats::subchannel(id?)?),
        ("socket", Some(id)) => one_socket(id?)?,
        _ => return None,
    };
    Some(html.end())
}

/// Digits, and nothing else.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|c| c.is_ascii_digit()))
}

/// A page in the making.
struct Html {
    text: String,
    now: SystemTime,
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>";
const STYLE: &str = "</title><style>\
    body{font:15px/1.4 system-ui,sans-serif;margin:1.5em auto;max-width:72em;padding:0 1em;color:#222}\
    table{border-collapse:collapse;margin:.5em 0 1.5em}\
    th,td{border:1px solid #ccc;padding:.25em .7em;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
    th{background:#f2f2f2;font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}\
    a{color:#0645ad}h2{margin-top:1.5em}nav{margin-bottom:1em}\
    </style></head><body><nav><a href=\"/\">all servers and channels</a></nav>\n";

impl Html {
    fn new(title: &dyn Display) -> Self {
        let now = Wall::look().at(clock::now());
        let mut html = Self { text: HEAD.to_owned(), now };
        html.put(format_args!("{title}{STYLE}<h1>{title}</h1>\n"));
        html
    }

    fn put(&mut self, what: fmt::Arguments<'_>) {
        // To a string nothing fails.
        let _ = self.text.write_fmt(what);
    }

    fn end(mut self) -> String {
        self.text.push_str("</body></html>\n");
        self.text
    }

    /// What is known of one thing, a line each.
    fn facts(&mut self, facts: &[(&str, String)]) {
        self.text.push_str("<table>\n");
        for (name, value) in facts {
            self.put(format_args!("<tr><th>{name}</th><td>{value}</td></tr>\n"));
        }
        self.text.push_str("</table>\n");
    }

    fn table(&mut self, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.put(format_args!("<h2>{title}</h2>\n<table>\n<tr>"));
        heads.iter().for_each(|head| self.put(format_args!("<th>{head}</th>")));
        self.text.push_str("</tr>\n");
        let mut none = true;
        for row in rows {
            none = false;
            self.text.push_str("<tr>");
            for cell in row {
                let class = if cell.bytes().all(|c| c.is_ascii_digit()) { " class=n" } else { "" };
                self.put(format_args!("<td{class}>{cell}</td>"));
            }
            self.text.push_str("</tr>\n");
        }
        if none {
            self.put(format_args!("<tr><td colspan={}>none</td></tr>\n", heads.len()));
        }
        self.text.push_str("</table>\n");
    }

    fn calls(&mut self, calls: &CallStats) {
        let last = self.when(calls.last_started);
        self.facts(&[
            ("calls started", calls.started.to_string()),
            ("succeeded", calls.succeeded.to_string()),
            ("failed", calls.failed.to_string()),
            ("running", calls.running().to_string()),
            ("last started", last),
        ]);
    }

    fn trace(&mut self, trace: &TraceStats) {
        let left_out = trace.logged.saturating_sub(trace.events.len() as u64);
        let title = match left_out {
            0 => "What has happened".to_owned(),
            more => format!("What has happened ({more} earlier events are not kept)"),
        };
        let now = self.now;
        let row = |event: &stats::TraceEvent| {
            vec![when(now, event.at), event.severity.to_string(), Text(&event.text).to_string()]
        };
        self.table(&title, &["when", "", "what"], trace.events.iter().rev().map(row));
    }

    fn sockets(&mut self, title: &str, sockets: &[SocketStats]) {
        let now = self.now;
        let row = |socket: &SocketStats| {
            let running = socket
                .streams_started
                .saturating_sub(socket.streams_succeeded)
                .saturating_sub(socket.streams_failed);
            vec![
                link("socket", socket.id),
                Text(&socket.remote_name).to_string(),
                socket.streams_started.to_string(),
                running.to_string(),
                socket.messages_sent.to_string(),
                socket.messages_received.to_string(),
                socket.last_stream.map_or_else(|| "never".into(), |at| when(now, at)),
            ]
        };
        let heads = ["socket", "peer", "streams", "open", "sent", "received", "last stream"];
        self.table(title, &heads, sockets.iter().map(row));
    }

    fn next(&mut self, path: &str, last: Option<u64>, end: bool) {
        if let Some(last) = last.filter(|_| !end) {
            let from = last.saturating_add(1);
            self.put(format_args!("<p><a href=\"{path}?from={from}\">more</a></p>\n"));
        }
    }

    fn when(&self, at: Option<SystemTime>) -> String {
        at.map_or_else(|| "never".into(), |at| when(self.now, at))
    }
}

fn overview(from: u64) -> Html {
    let mut html = Html::new(&"Servers and channels");
    servers(&mut html, from);
    channels(&mut html, from);
    html
}

/// One of the two alone.
fn list(title: &str, from: u64, rows: fn(&mut Html, u64)) -> Html {
    let mut html = Html::new(&title);
    rows(&mut html, from);
    html
}

fn servers(html: &mut Html, from: u64) {
    let servers = stats::servers(from, ROWS);
    let row = |server: &ServerStats| {
        let listens: Vec<_> = server.listeners.iter().map(|own| own.local.to_string()).collect();
        vec![
            link("server", server.id),
            Text(&listens.join(", ")).to_string(),
            server.connections.to_string(),
            server.handlers.to_string(),
            server.calls.started.to_string(),
            server.calls.failed.to_string(),
        ]
    };
    let heads = ["server", "listens on", "connections", "handlers", "calls", "failed"];
    html.table("Servers", &heads, servers.items.iter().map(row));
    html.next("/servers", servers.items.last().map(|last| last.id), servers.end);
}

fn channels(html: &mut Html, from: u64) {
    let channels = stats::channels(from, ROWS);
    let row = |channel: &ChannelStats| {
        vec![
            link("channel", channel.id),
            Text(&channel.target).to_string(),
            channel.state.to_string(),
            channel.calls.started.to_string(),
            channel.calls.failed.to_string(),
            channel.queued.to_string(),
        ]
    };
    let heads = ["channel", "target", "state", "calls", "failed", "waiting"];
    html.table("Channels", &heads, channels.items.iter().map(row));
    html.next("/channels", channels.items.last().map(|last| last.id), channels.end);
}

fn one_server(id: u64, from: u64) -> Option<Html> {
    let server = stats::server(id)?;
    let sockets = stats::server_sockets(id, from, ROWS)?;
    let mut html = Html::new(&format_args!("Server {id}"));
    html.calls(&server.calls);
    html.facts(&[
        ("handlers that wait or run", server.handlers.to_string()),
        ("connections", server.connections.to_string()),
    ]);
    let row = |own: &stats::ListenerStats| {
        vec![link("socket", own.id), Text(&own.local.to_string()).to_string()]
    };
    html.table("Listens by", &["socket", "address"], server.listeners.iter().map(row));
    html.sockets("Connections", &sockets.items);
    let path = format!("/server/{id}");
    html.next(&path, sockets.items.last().map(|last| last.id), sockets.end);
    html.trace(&server.trace);
    Some(html)
}

fn one_channel(channel: &ChannelStats) -> Html {
    let mut html = Html::new(&format_args!("Channel {}", channel.id));
    html.facts(&[
        ("target", Text(&channel.target).to_string()),
        ("state", channel.state.to_string()),
        ("calls that wait", channel.queued.to_string()),
    ]);
    html.calls(&channel.calls);
    let row = |below: &SubchannelStats| {
        vec![
            link("subchannel", below.id),
            Text(&below.target).to_string(),
            below.state.to_string(),
            below.sockets.len().to_string(),
        ]
    };
    let heads = ["subchannel", "target", "state", "connections"];
    html.table("Subchannels", &heads, channel.subchannels.iter().map(row));
    html.trace(&channel.trace);
    html
}

fn one_subchannel(subchannel: &SubchannelStats) -> Html {
    let mut html = Html::new(&format_args!("Subchannel {}", subchannel.id));
    html.facts(&[
        ("channel", link("channel", subchannel.channel)),
        ("target", Text(&subchannel.target).to_string()),
        ("state", subchannel.state.to_string()),
    ]);
    html.calls(&subchannel.calls);
    html.sockets("Connections", &subchannel.sockets);
    html.trace(&subchannel.trace);
    html
}

fn one_socket(id: u64) -> Option<Html> {
    let mut html = Html::new(&format_args!("Socket {id}"));
    let address = |end: Option<&stats::Address>| {
        end.map_or_else(|| "not known".into(), |end| Text(&end.to_string()).to_string())
    };
    let Some(socket) = stats::socket(id) else {
        let listener = stats::listener(id)?;
        html.facts(&[("listens on", address(Some(&listener.local)))]);
        return Some(html);
    };
    let security = match &socket.security {
        None => "none".into(),
        Some(tls) => {
            let suite = tls.cipher_suite.as_deref().unwrap_or("a cipher suite without a name");
            format!("{}, {}", Text(&tls.version), Text(suite))
        }
    };
    let round_trip = socket.round_trip.map(|time| format!("{time:.1?}"));
    html.facts(&[
        ("made by", if socket.accepted { "its client" } else { "a channel here" }.to_owned()),
        ("this end", address(socket.local.as_ref())),
        ("other end", address(socket.remote.as_ref())),
        ("security", security),
        ("streams started", socket.streams_started.to_string()),
        ("succeeded", socket.streams_succeeded.to_string()),
        ("failed", socket.streams_failed.to_string()),
        ("last started", html.when(socket.last_stream)),
        ("messages sent", socket.messages_sent.to_string()),
        ("last sent", html.when(socket.last_sent)),
        ("messages received", socket.messages_received.to_string()),
        ("last received", html.when(socket.last_received)),
        ("keepalives sent", socket.keepalives_sent.to_string()),
        ("bytes it may send", socket.send_window.to_string()),
        ("bytes it may be sent", socket.receive_window.to_string()),
        ("bytes that wait to be sent", socket.unsent.to_string()),
        ("round trip", round_trip.unwrap_or_else(|| "not known".into())),
    ]);
    Some(html)
}

fn link(kind: &str, id: u64) -> String {
    format!("<a href=\"/{kind}/{id}\">{id}</a>")
}

/// `2026-11-28 05:40:14.000 UTC, 3.0s ago`.
fn when(now: SystemTime, at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let ago = now.duration_since(at).unwrap_or_default();
    let ago = Duration::from_millis(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX));
    format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC, {ago:.1?} ago"
    )
}

/// The day so many days after 1970 began, of the Gregorian calendar: eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let civil = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(civil <= 2), civil, day)
}

/// Text of anybody's, as it may stand in HTML: in an element, or between quotation marks.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // What turns the direction of writing could make the rest of the page say something else.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                    f.write_char('\u{fffd}')?;
                }
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        let told = |text: &str| Text(text).to_string();
        assert_eq!(
            told("<b a='1' c=\"2\">&amp;"),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;"
        );
        assert_eq!(told("a\0b\nc\u{85}d\u{202e}e"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(told("süß"), "süß");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (days, civil) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (11_016, (2000, 2, 29)),
            (20_785, (2026, 11, 28)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), civil, "{days}");
        }
        let at = UNIX_EPOCH + Duration::from_millis(20_785 * 86_400_000 + 20_414_007);
        let told = when(at + Duration::from_millis(1_500), at);
        assert_eq!(told, "2026-11-28 05:40:14.007 UTC, 1.5s ago");
        assert!(when(UNIX_EPOCH, at).ends_with("0.0ns ago"), "of what is to come nothing is told");
    }

    #[test]
    fn paths_that_name_nothing_have_no_page() {
        assert!(page("/").is_some() && page("/?from=5").is_some() && page("/?x=1").is_some());
        for path in [
            "",
            "x",
            "/x",
            "/channel",
            "/channel/",
            "/channel/x",
            "/channel/-1",
            "/channel/+1",
            "/channel/1/2",
            "/server/18446744073709551616",
            "/?from=x",
            "/?from=",
            "//",
            "/../etc",
            "/channel/0",
            "/subchannel/0",
            "/server/0",
            "/socket/0",
        ] {
            assert_eq!(page(path), None, "{path}");
        }
    }

    #[test]
    fn a_long_list_goes_on_behind_its_last_number() {
        let mut html = Html::new(&"x");
        html.next("/server/3", Some(7), false);
        html.next("/server/3", Some(9), true);
        html.next("/server/3", None, false);
        let text = html.end();
        assert_eq!(text.matches("href=\"/server/3?from=8\"").count(), 1);
        assert_eq!(text.matches("from=").count(), 1);
    }
}
