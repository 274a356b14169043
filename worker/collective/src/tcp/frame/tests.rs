//! Frames over real sockets, cut and forged.

use super::*;
use crate::Operation;
use twinspan_types::Rank;

/// Two ends of a connection on this machine; the first does not block.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let there = TcpStream::connect(listener.local_addr()?)?;
    let here = listener.accept()?.0;
    here.set_nonblocking(true)?;
    Ok((here, there))
}

/// What receiving ends with when the peer sends these bytes and closes.
fn receive(bytes: &[u8], call: Call, sink: Sink<'_>) -> io::Result<Result<(), Break>> {
    let (here, mut there) = pair()?;
    there.write_all(bytes)?;
    drop(there);
    let mut incoming = Incoming::new(call, 0, sink);
    while !incoming.is_done() {
        if let Err(end) = incoming.advance(&here) {
            return Ok(Err(end));
        }
    }
    Ok(Ok(()))
}

#[test]
fn a_length_from_the_network_never_sizes_a_buffer_beyond_the_limit() -> io::Result<()> {
    let call = Call::new(Operation::AllGatherBytes, 1, 0);
    for length in [MAX_MESSAGE as u64 + 1, u64::MAX] {
        let header = Header::Data {
            call,
            round: 0,
            length,
        }
        .encode();
        let mut message = Vec::new();
        let end = receive(&header, call, Sink::Message(&mut message))?;
        assert!(matches!(end, Err(Break::Mismatch(_))), "{end:?}");
        assert_eq!(message.capacity(), 0);
    }
    Ok(())
}

#[test]
fn a_mismatch_names_what_was_expected_and_what_came() -> io::Result<()> {
    let call = Call::new(Operation::AllReduceSum, 4, 16);
    for other in [
        Call {
            operation: Operation::Barrier,
            ..call
        },
        Call {
            sequence: 5,
            ..call
        },
        Call { total: 17, ..call },
        Call {
            root: Rank(1),
            ..call
        },
    ] {
        let header = Header::Data {
            call: other,
            round: 0,
            length: 16,
        }
        .encode();
        match receive(&header, call, Sink::Into(&mut [0; 16]))? {
            Err(Break::Mismatch(detail)) => {
                let names = |call: Call| detail.contains(&call.to_string());
                assert!(names(call) && names(other), "{detail}");
            }
            end => panic!("{end:?}"),
        }
    }
    Ok(())
}

#[test]
fn numbers_cut_anywhere_by_the_network_are_added_whole() -> io::Result<()> {
    let numbers: Vec<f32> = (0..100_u8).map(f32::from).collect();
    let call = Call::new(Operation::AllReduceSum, 1, size_of_val(&numbers[..]));
    let bytes: &[u8] = bytemuck::cast_slice(&numbers);
    let header = Header::Data {
        call,
        round: 0,
        length: bytes.len() as u64,
    }
    .encode();
    let frame = [header.as_slice(), bytes].concat();
    for piece in [1, 3, 5, 7, 1000] {
        let (here, mut there) = pair()?;
        there.set_nodelay(true)?;
        let mut sum = numbers.clone();
        let mut scratch = [0.0; 3];
        let sink = Sink::Add {
            sum: &mut sum,
            scratch: &mut scratch,
        };
        let mut incoming = Incoming::new(call, 0, sink);
        for piece in frame.chunks(piece) {
            there.write_all(piece)?;
            while incoming.advance(&here).expect("a sound connection") {}
        }
        drop(there);
        while !incoming.is_done() {
            incoming.advance(&here).expect("the whole frame was sent");
        }
        assert!(
            sum.iter()
                .zip(&numbers)
                .all(|(sum, number)| *sum == 2.0 * number)
        );
    }
    Ok(())
}
