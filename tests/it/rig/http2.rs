//! HTTP/2 by hand: every frame and field that goes out is the story's own (RFC 9113).

mod hpack;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::Answer;
use super::wire::connect;

/// Kinds of frames (§6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// No field, where there are no trailers.
pub const NONE: &[(&str, &str)] = &[];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME: usize = 16_384;

/// One connection.
///
/// What it sends is not checked in any way; a stream that the gateway resets has an answer of status 0 with
/// `:reset` as its last header, and so have those that are open when the connection ends (`:goaway`, `:closed`).
pub struct Http2<S = TcpStream> {
    pub stream: S,
    reader: hpack::Reader,
    next: u32,
    /// Bytes that may be sent on the connection and on each stream; 0 is the connection.
    windows: BTreeMap<u32, i64>,
    initial_window: i64,
    answers: BTreeMap<u32, (Answer, bool)>,
    goaway: Option<u32>,
    /// What the gateway said of itself in its settings.
    pub settings: BTreeMap<u16, u32>,
}

impl Http2 {
    /// Connects to a local port that speaks HTTP/2 without TLS.
    pub fn connect(port: u16) -> Self {
        Self::over(connect(port).expect("it listens"))
    }
}

impl<S: Read + Write> Http2<S> {
    /// Speaks over a connection that is there: TLS, or what stands before a proxy.
    pub fn over(stream: S) -> Self {
        let mut client = Self {
            stream,
            reader: hpack::Reader::default(),
            next: 1,
            windows: BTreeMap::from([(0, 65_535)]),
            initial_window: 65_535,
            answers: BTreeMap::new(),
            goaway: None,
            settings: BTreeMap::new(),
        };
        let _ = client.stream.write_all(PREFACE);
        client.frame(SETTINGS, 0, 0, b"");
        // So that no story need think of what it receives.
        client.frame(WINDOW_UPDATE, 0, 0, &(i32::MAX as u32 - 65_535).to_be_bytes());
        client
    }

    /// One exchange; fields and pseudo-fields are sent as they stand.
    pub fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        fields: &[(N, V)],
        body: &[u8],
        trailers: &[(&str, &str)],
    ) -> Answer {
        let ends = body.is_empty() && trailers.is_empty();
        let id = self.open(fields, ends);
        if !body.is_empty() {
            self.data(id, body, trailers.is_empty());
        }
        if !trailers.is_empty() {
            self.fields(id, trailers, true);
        }
        self.answer(id)
    }

    /// `GET` of a path, with further fields.
    pub fn fetch(&mut self, authority: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)];
        let fields = [&pseudo[..], more];
        self.request(&fields.concat(), b"", NONE)
    }

    /// Opens a stream.
    pub fn open<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, fields: &[(N, V)], ends: bool) -> u32 {
        let id = self.next;
        self.next += 2;
        self.windows.insert(id, self.initial_window);
        self.answers.insert(id, (Answer::default(), false));
        self.fields(id, fields, ends);
        id
    }

    /// A header block on a stream; more of it than a frame holds is continued.
    pub fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, id: u32, fields: &[(N, V)], ends: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            hpack::write(&mut block, name.as_ref(), value.as_ref());
        }
        let mut parts: Vec<&[u8]> = block.chunks(FRAME).collect();
        let last = parts.pop().unwrap_or_default();
        let mut kind = HEADERS;
        for (part, flag) in parts.into_iter().map(|part| (part, 0)).chain([(last, END_HEADERS)]) {
            let end = if kind == HEADERS && ends { END_STREAM } else { 0 };
            self.frame(kind, flag | end, id, part);
            kind = CONTINUATION;
        }
    }

    /// Body of a stream, as fast as the gateway lets it come; ends early when the stream does.
    pub fn data(&mut self, id: u32, body: &[u8], ends: bool) {
        let mut rest = body;
        loop {
            let window = |id| self.windows.get(&id).copied().unwrap_or_default();
            let room = usize::try_from(window(0).min(window(id))).unwrap_or_default();
            let (part, after) = rest.split_at(rest.len().min(room).min(FRAME));
            if part.is_empty() && !rest.is_empty() {
                if self.is_over(id) || !self.read_frame() {
                    return;
                }
                continue;
            }
            let is_last = after.is_empty();
            self.frame(DATA, if is_last && ends { END_STREAM } else { 0 }, id, part);
            for id in [0, id] {
                *self.windows.entry(id).or_default() -= part.len() as i64;
            }
            if is_last {
                return;
            }
            rest = after;
        }
    }

    /// Gives a stream up.
    pub fn reset(&mut self, id: u32) {
        self.frame(RST_STREAM, 0, id, &8_u32.to_be_bytes());
    }

    /// Any frame at all; a connection that is closed swallows it.
    pub fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(id.to_be_bytes());
        frame.extend(payload);
        let _ = self.stream.write_all(&frame);
        let _ = self.stream.flush();
    }

    /// Waits for the whole answer of a stream.
    pub fn answer(&mut self, id: u32) -> Answer {
        while !self.is_over(id) && self.read_frame() {}
        self.answers.remove(&id).map(|(answer, _)| answer).unwrap_or_default()
    }

    /// Waits for the head of an answer, whose body is still to come.
    pub fn head(&mut self, id: u32) -> Answer {
        while self.answers.get(&id).is_some_and(|(answer, over)| answer.status == 0 && !over)
            && self.read_frame()
        {}
        self.answers.get(&id).map(|(answer, _)| answer.clone()).unwrap_or_default()
    }

    /// Whether nothing more will come on a stream.
    pub fn is_over(&self, id: u32) -> bool {
        self.answers.get(&id).is_none_or(|(_, over)| *over)
    }

    /// The error of the gateway's farewell, after waiting for the connection's end.
    pub fn end(&mut self) -> Option<u32> {
        while self.read_frame() {}
        self.goaway
    }

    /// Reads one frame; `false` when the connection has ended, which ends every stream.
    pub fn read_frame(&mut self) -> bool {
        let Ok((kind, flags, id, mut payload)) = self.next_frame() else {
            let how = self.goaway.map_or((":closed", String::new()), |code| (":goaway", code.to_string()));
            for (answer, over) in self.answers.values_mut().filter(|(_, over)| !over) {
                (answer.status, *over) = (0, true);
                answer.headers.push((how.0.to_owned(), how.1.clone()));
            }
            return false;
        };
        let number = |payload: &[u8]| payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        match kind {
            SETTINGS if flags & ACK == 0 => self.take_settings(&payload),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload),
            GOAWAY => self.goaway = payload.get(4..).map(number),
            WINDOW_UPDATE => *self.windows.entry(id).or_default() += i64::from(number(&payload)),
            RST_STREAM => {
                if let Some((answer, over)) = self.answers.get_mut(&id) {
                    // An answer that is whole stays: the gateway has no use for the rest of the request (§8.1).
                    if !*over {
                        answer.status = 0;
                        answer.headers.push((":reset".to_owned(), number(&payload).to_string()));
                    }
                    *over = true;
                }
            }
            HEADERS => {
                let mut ended = flags & END_HEADERS != 0;
                while !ended {
                    let Ok((_, flags, _, more)) = self.next_frame() else { return false };
                    payload.extend(more);
                    ended = flags & END_HEADERS != 0;
                }
                let fields = self.reader.read(&payload);
                self.take_fields(id, fields, flags & END_STREAM != 0);
            }
            DATA => {
                if let Some((answer, over)) = self.answers.get_mut(&id) {
                    answer.body.extend(&payload);
                    *over |= flags & END_STREAM != 0;
                }
                if !payload.is_empty() && !self.is_over(id) {
                    self.frame(WINDOW_UPDATE, 0, id, &(payload.len() as u32).to_be_bytes());
                }
            }
            _ => {}
        }
        true
    }

    fn take_settings(&mut self, payload: &[u8]) {
        for setting in payload.chunks_exact(6) {
            let name = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            self.settings.insert(name, value);
            // §6.9.2: the windows of open streams move along.
            if name == 4 {
                let change = i64::from(value) - self.initial_window;
                self.initial_window = i64::from(value);
                self.windows.iter_mut().filter(|(id, _)| **id > 0).for_each(|(_, left)| *left += change);
            }
        }
        self.frame(SETTINGS, ACK, 0, b"");
    }

    fn take_fields(&mut self, id: u32, fields: Vec<(String, String)>, ends: bool) {
        let Some((answer, over)) = self.answers.get_mut(&id) else { return };
        for (name, value) in fields {
            match name.as_str() {
                ":status" => answer.status = value.parse().unwrap_or_default(),
                _ => answer.headers.push((name, value)),
            }
        }
        *over |= ends;
    }

    fn next_frame(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
        Ok((head[3], head[4], id, payload))
    }
}
