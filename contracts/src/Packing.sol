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
        reader.position = _words(reader.position, reader.dictionary, into, into + 32 * count);
    }

    /// Recursive at its end, in steps of 32 words, so that the compiler does not inline this loop into a caller that
    /// has no room left on the stack: each word would cost half as much again.
    function _words(uint256 position, uint256 dictionary, uint256 into, uint256 end)
        private
        pure
        returns (uint256)
    {
        uint256 tag;
        uint256 malformed;
        uint256 pause = into + 1024 < end ? into + 1024 : end;
        assembly ("memory-safe") {
            for {} lt(into, pause) { into := add(into, 32) } {
                tag := byte(0, calldataload(position))
                position := add(position, 1)
                switch gt(tag, 127)
                case 0 {
                    malformed := or(malformed, gt(tag, 32))
                    mstore(into, shr(sub(256, shl(3, tag)), calldataload(position)))
                    position := add(position, tag)
                }
                default { mstore(into, calldataload(add(dictionary, shl(5, and(tag, 127))))) }
            }
        }
        if (malformed != 0) revert BatchMalformed();
        return pause == end ? position : _words(position, dictionary, pause, end);
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
