//! Heads by chance: well formed ones, and ones that a parser might stumble over.

use proptest::prelude::*;

use super::super::head_len;

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z][A-Za-z0-9-]{0,12}: ?[ -~]{0,20}",
        1 => "Content-Length: [0-9]{1,3}",
        1 => Just("Transfer-Encoding: chunked".to_owned()),
        1 => "(Connection|connection): (close|keep-alive|Upgrade|X-A|te)(, ?(close|X-B))?",
        1 => Just("Upgrade: tcp".to_owned()),
        1 => Just("Expect: 100-continue".to_owned()),
        1 => "(X-A|x-b|TE|Keep-Alive|Proxy-Authorization):[ \t]{0,3}[a-z]{0,5}[ \t]{0,3}",
        1 => "(Content-Length|Transfer-Encoding|Host|Connection)[ :]{1,3}[ -~]{0,12}",
    ]
}

prop_compose! {
    /// A head that is mostly acceptable.
    pub(super) fn head()(
        method in "(GET|POST|HEAD|PUT|DELETE|[A-Z]{1,8})",
        target in "/[a-zA-Z0-9._~%/:@!$&'()*+,;=-]{0,20}(\\?[a-z0-9=&%+;,:/?@-]{0,20})?",
        version in prop_oneof![9 => Just("1.1"), 1 => Just("1.0")],
        host in prop_oneof![9 => Just("Host: docker"), 1 => Just("hOST:"), 1 => Just("X: y")],
        lines in prop::collection::vec(line(), 0..6),
        place in 0_usize..6,
    ) -> Vec<u8> {
        let mut lines = lines;
        lines.insert(place.min(lines.len()), host.to_owned());
        format!("{method} {target} HTTP/{version}\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }
}

/// A generated head, with a few bytes changed to those that matter to a parser.
pub(super) fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let poison = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b'\t'),
        Just(b':'),
        Just(b'\0'),
        Just(b','),
        Just(b';'),
        Just(b'#'),
        Just(b'%'),
        Just(b'0'),
        Just(b'\x0b'),
        Just(b'\x7f'),
        any::<u8>(),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), poison, 0..3_u8), 1..4);
    (head(), edits).prop_map(|(mut head, edits)| {
        for (at, byte, how) in edits {
            let at = at.index(head.len());
            match how {
                0 => head[at] = byte,
                1 => head.insert(at, byte),
                _ => _ = head.remove(at),
            }
        }
        head.extend_from_slice(b"\r\n\r\n");
        let len = head_len(&head, 0).expect("an end");
        head.truncate(len);
        head
    })
}
