//! Header lists of HTTP/2: written as plain literals, read in every form (RFC 7541).

use std::collections::VecDeque;

/// Appends one field as a literal that nobody indexes (§6.2.2): any bytes, also those that no client would send.
pub fn write(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        write_length(block, text.len());
        block.extend_from_slice(text);
    }
}

/// An integer with a prefix of 7 bits (§5.1).
fn write_length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(length as u8 | 128);
        length >>= 7;
    }
    block.push(length as u8);
}

/// Reads the lists of one connection, which share a dynamic table.
#[derive(Default)]
pub struct Reader {
    dynamic: VecDeque<(String, String)>,
}

impl Reader {
    pub fn read(&mut self, mut block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(first) = block.first().copied() {
            match first {
                128.. => {
                    let index = integer(&mut block, 7);
                    fields.push(self.entry(index));
                }
                // A new size of the table: those that servers choose are never below what is held.
                32..64 => drop(integer(&mut block, 5)),
                _ => {
                    let indexed = first >= 64;
                    let index = integer(&mut block, if indexed { 6 } else { 4 });
                    let name = if index == 0 { text(&mut block) } else { self.entry(index).0 };
                    let field = (name, text(&mut block));
                    if indexed {
                        self.keep(field.clone());
                    }
                    fields.push(field);
                }
            }
        }
        fields
    }

    fn keep(&mut self, field: (String, String)) {
        self.dynamic.push_front(field);
        // §4.1, §4.4
        while self.dynamic.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > 4096 {
            self.dynamic.pop_back();
        }
    }

    fn entry(&self, index: usize) -> (String, String) {
        match index {
            1..=61 => {
                let (name, value) = STATIC[index - 1];
                (name.to_owned(), value.to_owned())
            }
            _ => self.dynamic[index - 62].clone(),
        }
    }
}

fn integer(block: &mut &[u8], prefix: u32) -> usize {
    let mask = (1_usize << prefix) - 1;
    let mut value = take(block) as usize & mask;
    if value < mask {
        return value;
    }
    let mut shift = 0;
    loop {
        let byte = take(block) as usize;
        value += (byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

fn take(block: &mut &[u8]) -> u8 {
    let (first, rest) = block.split_first().expect("a whole block");
    *block = rest;
    *first
}

fn text(block: &mut &[u8]) -> String {
    let is_coded = block.first().is_some_and(|byte| *byte >= 128);
    let length = integer(block, 7);
    let (text, rest) = block.split_at(length);
    *block = rest;
    let bytes = if is_coded { decode(text) } else { text.to_vec() };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Appendix B: the code is canonical, so that the length of each symbol's code says all; `a` stands for 5 bits.
const LENGTHS: &[u8; 257] = b"isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccc\
    ccccccccccccccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssp\
    rrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz";

fn decode(coded: &[u8]) -> Vec<u8> {
    let mut symbols: Vec<(u8, usize)> = LENGTHS.iter().map(|l| l - b'a' + 5).zip(0..).collect();
    symbols.sort_unstable();
    let (mut code, mut bits) = (0_u64, 0);
    let codes: Vec<(u8, u64, usize)> = symbols
        .into_iter()
        .map(|(length, symbol)| {
            code <<= length - bits;
            bits = length;
            code += 1;
            (length, code - 1, symbol)
        })
        .collect();
    let (mut decoded, mut seen, mut length) = (Vec::new(), 0_u64, 0_u8);
    for at in 0..coded.len() * 8 {
        seen = seen << 1 | u64::from(coded[at / 8] >> (7 - at % 8) & 1);
        length += 1;
        if let Ok(found) = codes.binary_search_by_key(&(length, seen), |(length, code, _)| (*length, *code)) {
            decoded.push(codes[found].2 as u8);
            (seen, length) = (0, 0);
        }
    }
    decoded
}

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[test]
fn coded_texts_are_read() {
    // RFC 7541 §C.4.1
    let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(decode(&coded), b"www.example.com");
}
