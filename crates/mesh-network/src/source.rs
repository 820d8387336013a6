//! What a container may say of itself: what it sends has its own hardware address and its own address as source.
//!
//! A program of the kernel's (classic BPF) looks at each frame at the end of a container's veth that stays with the
//! bridge, where nothing in the container reaches it. Without it a container that may open raw sockets (`NET_RAW`,
//! as images expect to) could take a neighbour's place, or its gateway's. Who may administer its own network
//! (`NET_ADMIN`) may take further addresses, and is not held to this.

use crate::link::Links;
use futures_util::StreamExt as _;
use rtnetlink::{
    Error,
    packet_core::{
        DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
    },
};
use std::net::Ipv4Addr;

/// Where programs are attached that see what comes in and goes out.
const CLSACT: u32 = 0xFFFF_FFF1;
const CLSACT_HANDLE: u32 = 0xFFFF_0000;
/// What comes in.
const INGRESS: u32 = 0xFFFF_FFF2;
/// First of the programs, for frames of every kind (`ETH_P_ALL`, in the network's byte order).
const PRIORITY_AND_ALL: u32 = (1 << 16) | u16::to_be(0x0003) as u32;

const BPF_OPS_LENGTH: u16 = 4;
const BPF_OPS: u16 = 5;
const BPF_FLAGS: u16 = 8;
/// What the program returns is what becomes of the frame.
const BPF_ACTS: u32 = 1;

/// What becomes of a frame.
const PASS: u32 = 0;
const DROP: u32 = 2;

/// One instruction of classic BPF (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// Loads the word or half word at an offset of the frame.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
/// Jumps if what was loaded is the value.
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Offsets in an Ethernet frame.
const SOURCE_HIGH: u32 = 6;
const SOURCE_LOW: u32 = 10;
const KIND: u32 = 12;
const IP_SOURCE: u32 = 26;
const ARP_SENDER: u32 = 28;

/// Kinds of frames.
const IP: u32 = 0x0800;
const ARP: u32 = 0x0806;

const fn load(code: u16, offset: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, value: offset }
}

const fn jump(value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code: JUMP_IF_EQUAL, if_true, if_false, value }
}

const fn end(value: u32) -> Instruction {
    Instruction { code: RETURN, if_true: 0, if_false: 0, value }
}

/// The program for an interface of a container with these addresses, on whatever interface they are: a program that
/// is bound to one may be answered over another. One that does not know its address yet (0.0.0.0) passes, and so do
/// frames that carry no IPv4 address. `None`: there are too many.
fn program(hardware: [u8; 6], addresses: &[Ipv4Addr]) -> Option<Vec<Instruction>> {
    let [a, b, c, d, e, f] = hardware;
    let (high, low) = (u32::from_be_bytes([a, b, c, d]), u32::from(u16::from_be_bytes([e, f])));
    let ip = passing(IP_SOURCE, addresses)?;
    let to_arp = u8::try_from(ip.len() + 2).ok()?;
    let head = [
        load(LOAD_WORD, SOURCE_HIGH),
        jump(high, 0, 6),
        load(LOAD_HALF, SOURCE_LOW),
        jump(low, 0, 4),
        load(LOAD_HALF, KIND),
        jump(IP, 3, 0),
        jump(ARP, to_arp, 0),
        end(PASS),
        end(DROP),
    ];
    Some([head.as_slice(), &ip, &passing(ARP_SENDER, addresses)?].concat())
}

/// Passes a frame with one of these addresses, or none, at an offset, and drops others.
fn passing(offset: u32, addresses: &[Ipv4Addr]) -> Option<Vec<Instruction>> {
    let known: Vec<u32> = std::iter::once(0).chain(addresses.iter().map(|own| u32::from(*own))).collect();
    let mut block = vec![load(LOAD_WORD, offset)];
    for (number, own) in known.iter().enumerate() {
        block.push(jump(*own, u8::try_from(known.len() - number).ok()?, 0));
    }
    block.extend([end(DROP), end(PASS)]);
    Some(block)
}

/// The program as the kernel takes it.
fn bytes(program: &[Instruction]) -> Vec<u8> {
    let one = |it: &Instruction| {
        let [a, b] = it.code.to_ne_bytes();
        let [c, d, e, f] = it.value.to_ne_bytes();
        [a, b, it.if_true, it.if_false, c, d, e, f]
    };
    program.iter().flat_map(one).collect()
}

/// Has the kernel drop what comes from a container with another source than its own. `index` is that of the end of
/// its veth that stays with the bridge.
///
/// # Errors
/// The kernel has no `clsact` or `cls_bpf`, or refuses.
pub(crate) async fn hold(
    links: &Links,
    index: u32,
    hardware: [u8; 6],
    addresses: &[Ipv4Addr],
) -> Result<(), Error> {
    let Some(program) = program(hardware, addresses) else { return Ok(()) };
    let option =
        |kind: u16, value: Vec<u8>| TcOption::Bpf(TcFilterBpfOption::Other(DefaultNla::new(kind, value)));
    let length = u16::try_from(program.len()).unwrap_or(u16::MAX);
    let mut place = TcMessage::with_index(index.cast_signed());
    (place.header.parent, place.header.handle) = (TcHandle::from(CLSACT), TcHandle::from(CLSACT_HANDLE));
    place.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    let mut filter = TcMessage::with_index(index.cast_signed());
    (filter.header.parent, filter.header.info) = (TcHandle::from(INGRESS), PRIORITY_AND_ALL);
    filter.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    filter.attributes.push(TcAttribute::Options(vec![
        option(BPF_OPS_LENGTH, length.to_ne_bytes().to_vec()),
        option(BPF_OPS, bytes(&program)),
        option(BPF_FLAGS, BPF_ACTS.to_ne_bytes().to_vec()),
    ]));
    ask(links, RouteNetlinkMessage::NewQueueDiscipline(place)).await?;
    ask(links, RouteNetlinkMessage::NewTrafficFilter(filter)).await
}

/// Sends one request and waits for its acknowledgement.
async fn ask(links: &Links, message: RouteNetlinkMessage) -> Result<(), Error> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut handle = links.0.clone();
    let mut answers = handle.request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(Error::NetlinkError(error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [2, 0x42, 10, 9, 0, 2];
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
    /// On another interface.
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);

    /// What becomes of a frame, as the kernel would have it.
    fn judge(frame: &[u8]) -> u32 {
        let program = program(HARDWARE, &[OTHER, OWN]).expect("it fits");
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Instruction { code, if_true, if_false, value } = program[at];
            let offset = usize::try_from(value).unwrap_or(usize::MAX);
            let load = |size: usize| frame.get(offset..offset + size);
            at += 1;
            match code {
                LOAD_WORD | LOAD_HALF => {
                    // What is not there ends the program with 0, which passes a frame that says nothing.
                    let Some(found) = load(if code == LOAD_WORD { 4 } else { 2 }) else { return 0 };
                    loaded = found.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
                }
                JUMP_IF_EQUAL => at += usize::from(if loaded == value { if_true } else { if_false }),
                RETURN => return value,
                other => panic!("{other}"),
            }
        }
    }

    fn frame(hardware: [u8; 6], kind: u16, at: usize, address: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[6..12].copy_from_slice(&hardware);
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        frame[at..at + 4].copy_from_slice(&address.octets());
        frame
    }

    #[test]
    fn frames_with_another_source_are_dropped() {
        let (other, none) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::UNSPECIFIED);
        let stranger = [2, 0x42, 10, 9, 0, 3];
        for (hardware, kind, at, address, want) in [
            (HARDWARE, 0x0800, 26, OWN, PASS),
            (HARDWARE, 0x0800, 26, none, PASS),
            (HARDWARE, 0x0800, 26, OTHER, PASS),
            (HARDWARE, 0x0800, 26, other, DROP),
            (stranger, 0x0800, 26, OWN, DROP),
            ([2, 0x42, 10, 9, 1, 2], 0x0800, 26, OWN, DROP),
            (HARDWARE, 0x0806, 28, OWN, PASS),
            (HARDWARE, 0x0806, 28, none, PASS),
            (HARDWARE, 0x0806, 28, other, DROP),
            (HARDWARE, 0x86DD, 26, other, PASS),
            (stranger, 0x86DD, 26, other, DROP),
        ] {
            assert_eq!(judge(&frame(hardware, kind, at, address)), want, "{hardware:?} {kind:x} {address}");
        }
        let program_of = |count: u8| {
            program(HARDWARE, &(0..count).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect::<Vec<_>>())
        };
        assert_eq!(bytes(&program_of(1).expect("it fits")).len(), (9 + 2 * 5) * 8);
        assert!(program_of(240).is_some() && program_of(255).is_none());
    }
}
