// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// Immutable data kept as the code of an account: reading a verifying key costs one code access
/// instead of one storage access per word.
library CodeStorage {
    error CodeStorageFailed();

    /// Bytes that fit: EIP-170's limit less the leading STOP, which keeps the data from being run.
    uint256 internal constant MAX_LENGTH = 24_575;

    function write(bytes memory data) internal returns (address pointer) {
        if (data.length > MAX_LENGTH) revert CodeStorageFailed();
        // PUSH2 size, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN; then STOP and data.
        bytes memory initCode =
            abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a3d393df3", hex"00", data);
        assembly ("memory-safe") {
            pointer := create(0, add(initCode, 32), mload(initCode))
        }
        if (pointer == address(0)) revert CodeStorageFailed();
    }

    function read(address pointer) internal view returns (bytes memory data) {
        uint256 length = pointer.code.length - 1;
        data = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), 1, length)
        }
    }

    /// Reads data that was written as packed 32-byte words.
    function readWords(address pointer) internal view returns (uint256[] memory words) {
        uint256 length = (pointer.code.length - 1) / 32;
        words = new uint256[](length);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(words, 32), 1, mul(length, 32))
        }
    }
}
