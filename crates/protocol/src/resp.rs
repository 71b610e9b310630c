//! RESP framing: replies from a server ([`ReplyReader`]), commands from a follower ([`CommandReader`]).

mod command;
mod error;
mod reply;
mod told;
mod value;

pub use command::{COMMAND_ARGS_MAX, COMMAND_BYTES_MAX, CommandReader, Incoming};
pub use error::RespError;
pub use reply::{REPLY_BYTES_MAX, REPLY_DEPTH_MAX, REPLY_ELEMENTS_MAX, REPLY_LINE_BYTES_MAX, ReplyReader};
pub use told::without_arguments;
pub use value::Value;

use bytes::{BufMut as _, BytesMut};

/// Appends `args` to `out` as one multibulk command, the form that every server takes.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut BytesMut, args: &[A]) {
    put_header(out, b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        put_header(out, b'$', arg.len());
        out.put_slice(arg);
        out.put_slice(b"\r\n");
    }
}

fn put_header(out: &mut BytesMut, kind: u8, number: usize) {
    out.put_u8(kind);
    out.put_slice(number.to_string().as_bytes());
    out.put_slice(b"\r\n");
}
