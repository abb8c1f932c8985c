// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Typed} from "./Typed.sol";
import {Award, Status} from "./Types.sol";

/// What has become of each order: one word.
abstract contract Orders is Typed {
    /// Two bits of the lowest byte: the client is a contract and posted the order itself; the consumer took the
    /// statement.
    uint256 internal constant SUBMITTED = 0x40;
    uint256 internal constant DELIVERED = 0x80;
    uint256 internal constant FLAGS = SUBMITTED | DELIVERED;

    /// Status in the lowest byte; above it the time of a cancel, or the upper 248 bits of the locking award's digest
    /// or of the settled statement's hash.
    mapping(bytes32 orderHash => uint256) internal _entries;

    function stateOf(bytes32 orderHash) external view returns (Status status, bytes31 content) {
        uint256 entry = _entries[orderHash];
        return (_status(entry), bytes31(uint248(entry >> 8)));
    }

    /// Whether the client posted the order on-chain, and whether the consumer took its statement.
    function flagsOf(bytes32 orderHash) external view returns (bool submitted, bool delivered) {
        uint256 entry = _entries[orderHash];
        return (entry & SUBMITTED != 0, entry & DELIVERED != 0);
    }

    /// Neither locked, finished nor effectively cancelled.
    function _openRefusal(bytes32 orderHash, uint256 entry) internal view returns (bytes memory refusal) {
        Status status = _status(entry);
        if (status == Status.Locked) return _refuse(AlreadyLocked.selector, uint256(orderHash));
        if (status == Status.CancelRequested && block.timestamp >= entry >> 8) {
            return _refuse(AlreadyCancelled.selector, uint256(orderHash));
        }
        return _finished(orderHash, status);
    }

    function _finished(bytes32 orderHash, Status status) internal pure returns (bytes memory refusal) {
        if (status == Status.Settled) return _refuse(AlreadySettled.selector, uint256(orderHash));
        if (status == Status.Expired) return _refuse(AlreadyExpired.selector, uint256(orderHash));
    }

    function _lockedByRefusal(bytes32 orderHash, uint256 entry, Award memory locking)
        internal
        view
        returns (bytes memory refusal)
    {
        Status status = _status(entry);
        refusal = _finished(orderHash, status);
        if (refusal.length != 0) return refusal;
        if (status != Status.Locked) return _refuse(NotLocked.selector, uint256(orderHash));
        if (entry & ~FLAGS != _entry(Status.Locked, _digest(locking))) {
            return _refuse(LockedByAnotherAward.selector, uint256(orderHash));
        }
    }

    function _status(uint256 entry) internal pure returns (Status) {
        return Status(uint8(entry & ~FLAGS));
    }

    function _entry(Status status, bytes32 content) internal pure returns (uint256) {
        return (uint256(content) & ~uint256(0xff)) | uint8(status);
    }
}
