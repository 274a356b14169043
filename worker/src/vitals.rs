//! What this process uses.

use twinspan_types::Vitals;

/// What this process uses, beside the bytes that it sent to other ranks and received from them.
pub(crate) fn vitals((sent_bytes, received_bytes): (u64, u64)) -> Vitals {
    Vitals {
        memory_bytes: resident_memory(),
        device_memory_bytes: None,
        sent_bytes,
        received_bytes,
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_written_to_is_resident() {
        let before = vitals((0, 0)).memory_bytes;
        let memory = vec![1_u8; 64 << 20];
        let after = vitals((0, 0)).memory_bytes;
        assert!(memory.iter().all(|byte| *byte == 1));
        assert!(
            before > 0 && after >= before + (48 << 20),
            "{before} {after}"
        );
    }
}
