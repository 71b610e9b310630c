//! Small RDB files with the right checksum, without a server.

use crc::{CRC_64_REDIS, Crc};

/// The RDB version of Redis 7.0, which every engine here reads.
pub const VERSION: u16 = 10;

/// An RDB without any key.
pub fn empty() -> Vec<u8> {
    with_strings(VERSION, &[])
}

/// An RDB of a version with these strings in database 0. Keys and values are up to 16 KiB.
pub fn with_strings(version: u16, strings: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut rdb = format!("REDIS{version:04}").into_bytes();
    auxiliary(&mut rdb, b"redis-ver", b"7.0.15");
    if !strings.is_empty() {
        rdb.extend_from_slice(&[0xFE, 0]);
        let count = u8::try_from(strings.len()).unwrap_or(63).min(63);
        // Sizes of the tables: a hint only.
        rdb.extend_from_slice(&[0xFB, count, 0]);
        for (key, value) in strings {
            rdb.push(0);
            string(&mut rdb, key);
            string(&mut rdb, value);
        }
    }
    rdb.push(0xFF);
    seal(&mut rdb);
    rdb
}

/// Appends the checksum of what is there.
pub fn seal(rdb: &mut Vec<u8>) {
    let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(rdb);
    rdb.extend_from_slice(&checksum.to_le_bytes());
}

/// Whether the last 8 bytes are the checksum of what stands before.
pub fn is_sealed(rdb: &[u8]) -> bool {
    rdb.split_last_chunk::<8>().is_some_and(|(content, checksum)| {
        Crc::<u64>::new(&CRC_64_REDIS).checksum(content) == u64::from_le_bytes(*checksum)
    })
}

fn auxiliary(rdb: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    rdb.push(0xFA);
    string(rdb, key);
    string(rdb, value);
}

/// A length of 6 or 14 bits, then the bytes.
fn string(rdb: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len())
        .ok()
        .filter(|length| *length < 1 << 14)
        .expect("at most 16 KiB");
    let [high, low] = length.to_be_bytes();
    if length < 64 {
        rdb.push(low);
    } else {
        rdb.extend_from_slice(&[0x40 | high, low]);
    }
    rdb.extend_from_slice(bytes);
}
