// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// Reads the packed call data of a batch in place. Half of what a settlement costs beside its proof would
/// be zeros and repetitions; contracts/packing.py writes the same format:
///
///     packed := length n of the dictionary (1 byte), n words of 32 bytes, number of jobs (1 byte), jobs
///     word   := t (1 byte, t <= 32), then t bytes, big-endian   the number of these bytes
///             | 128 + k (1 byte)                                word k of the dictionary
library Packing {
    error BatchMalformed();

    /// Where reading stands: offsets into the call data.
    struct Reader {
        uint256 position;
        uint256 end;
        uint256 dictionary;
    }

    function open(bytes calldata packed) internal pure returns (Reader memory reader) {
        assembly ("memory-safe") {
            mstore(reader, packed.offset)
            mstore(add(reader, 32), add(packed.offset, packed.length))
        }
        uint256 length = number(reader, 1);
        reader.dictionary = reader.position;
        reader.position += 32 * length;
    }

    /// Reads an unsigned number of a fixed size, at most 32 bytes.
    function number(Reader memory reader, uint256 size) internal pure returns (uint256 value) {
        assembly ("memory-safe") {
            let at := mload(reader)
            value := shr(sub(256, shl(3, size)), calldataload(at))
            mstore(reader, add(at, size))
        }
    }

    /// Reads `count` words to memory at `into`, which the caller has allocated.
    function words(Reader memory reader, uint256 into, uint256 count) internal pure {
        bool malformed;
        assembly ("memory-safe") {
            let at := mload(reader)
            let dictionary := mload(add(reader, 64))
            for { let last := add(into, shl(5, count)) } lt(into, last) { into := add(into, 32) } {
                let tag := byte(0, calldataload(at))
                at := add(at, 1)
                switch gt(tag, 127)
                case 0 {
                    malformed := or(malformed, gt(tag, 32))
                    mstore(into, shr(sub(256, shl(3, tag)), calldataload(at)))
                    at := add(at, tag)
                }
                default { mstore(into, calldataload(add(dictionary, shl(5, and(tag, 127))))) }
            }
            mstore(reader, at)
        }
        if (malformed) revert BatchMalformed();
    }

    function skip(Reader memory reader, uint256 size) internal pure returns (uint256 from) {
        from = reader.position;
        reader.position = from + size;
    }

    /// What was read lies inside the call data; what lies behind it would have read as zeros.
    function close(Reader memory reader) internal pure {
        if (reader.position != reader.end) revert BatchMalformed();
    }
}
