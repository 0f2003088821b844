//! Whether a JPEG is there to its end. The decoder fills what is missing with grey and says nothing.

/// Whether the end marker follows the picture's data. Segments are stepped over by their lengths, so that the thumbnail
/// inside a header is not taken for the picture. Never panics, whatever the bytes.
pub fn is_complete(bytes: &[u8]) -> bool {
    const SCAN: u8 = 0xda;
    const END: u8 = 0xd9;
    let mut rest = bytes;
    loop {
        // Fill bytes and entropy-coded data up to the next marker.
        let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff)) else {
            return false;
        };
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            END => return true,
            // Start of image, restarts and the private marker have no length.
            0xd0..=0xd8 | 0x01 => {}
            _ => {
                let Some((length, _)) = rest.split_first_chunk::<2>() else { return false };
                let Some(after) = rest.get(usize::from(u16::from_be_bytes(*length)).max(2)..) else { return false };
                rest = after;
                if marker == SCAN && rest.is_empty() {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pictures_own_end_marker_counts() {
        let head: &[u8] = &[0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2];
        let scan: &[u8] = &[0xff, 0xda, 0, 3, 9, 1, 2, 0xff, 0, 0xff, 0xd0, 7];
        let cases: [(&[&[u8]], bool); 6] = [
            (&[head, scan, &[0xff, 0xd9]], true),
            (&[head, scan, &[0xff, 0xff, 0xd9, 1, 2, 3]], true),
            (&[head, scan], false),
            (&[head], false),
            (&[&head[..7]], false),
            (&[], false),
        ];
        for (parts, complete) in cases {
            assert_eq!(is_complete(&parts.concat()), complete, "{parts:?}");
        }
    }
}
