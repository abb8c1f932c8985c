// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Award, Job, Order} from "./Types.sol";

/// Reads call data that is packed: half of what a settlement costs beside its proof would be zeros and
/// repetitions. What is read is hashed, and a signature or a lock commits to the hash, so data that is cut or
/// points to a wrong place fails by itself. contracts/packing.py writes and reads the same two forms.
///
/// A batch has a pool of words, and its jobs name most of theirs by their index in it (2 bytes):
///
///     packed := number of words (2), the words (32 each), number of jobs (1), jobs
///     job    := indices of the order's words but inputCommitment and salt (21 x 2), of the award's prover,
///               payout, price, promiseAt and lockBy (5 x 2), of the settler (2);
///               number of outputs (2), length of the signature (2), voided (1);
///               inputCommitment, salt, bid hash (32 each), proof (256); indices of the outputs (2 each);
///               signature; if voided, of the locking award bid hash (32) and indices as above (5 x 2)
///
/// A single order with an award has each field at the width of its type (amounts 16 bytes):
///
///     packed := form (1): bit 0 if the order has rare fields, bit 1 if its collateral is of another token;
///               client, programId, modelId, kind, inputCommitment, token, priceCap, verifierFee, royaltyBps,
///               collateral, promiseBy, finalBy, replyKey, salt; collateral token if bit 1; if bit 0 inputHash,
///               inputSize, parametersHash, priceFloor, rampStart, rampEnd, consumer, context (else zero);
///               award: bidHash, prover, payout, price, promiseAt, lockBy; then whatever else the call takes
library Packing {
    error BatchMalformed();

    /// Where reading stands, and where the pool begins: offsets into the call data.
    struct Reader {
        uint256 position;
        uint256 end;
        uint256 pool;
    }

    /// The parts of a job that are not words: places in the call data.
    struct Parts {
        uint256 proofAt;
        uint256 signatureAt;
        uint256 signatureLength;
    }

    uint256 private constant RARE = 1;
    uint256 private constant OTHER_COLLATERAL = 2;

    function open(bytes calldata packed) internal pure returns (Reader memory reader, uint256 jobs) {
        assembly ("memory-safe") {
            let pool := add(packed.offset, 2)
            let position := add(pool, shl(5, shr(240, calldataload(packed.offset))))
            jobs := byte(0, calldataload(position))
            mstore(reader, add(position, 1))
            mstore(add(reader, 32), add(packed.offset, packed.length))
            mstore(add(reader, 64), pool)
        }
    }

    /// What was read lies inside the call data; what lies behind it would have read as zeros.
    function close(Reader memory reader) internal pure {
        if (reader.position != reader.end) revert BatchMalformed();
    }

    /// Reads the next job over the last one. The awards' order hashes become zero: they are to be filled in.
    function next(Reader memory reader, Job memory job, Parts memory parts) internal pure {
        Order memory order = job.order;
        Award memory award = job.award;
        uint256 cursor = reader.position;
        uint256 pool = reader.pool;
        uint256 more;
        assembly ("memory-safe") {
            // An index, times 32, is cut out of its word by one shift and one mask.
            let indices := calldataload(cursor)
            mstore(order, calldataload(add(pool, and(shr(235, indices), 0x1fffe0)))) // client
            mstore(add(order, 32), calldataload(add(pool, and(shr(219, indices), 0x1fffe0)))) // programId
            mstore(add(order, 64), calldataload(add(pool, and(shr(203, indices), 0x1fffe0)))) // modelId
            mstore(add(order, 96), calldataload(add(pool, and(shr(187, indices), 0x1fffe0)))) // kind
            mstore(add(order, 160), calldataload(add(pool, and(shr(171, indices), 0x1fffe0)))) // inputHash
            mstore(add(order, 192), calldataload(add(pool, and(shr(155, indices), 0x1fffe0)))) // inputSize
            mstore(add(order, 224), calldataload(add(pool, and(shr(139, indices), 0x1fffe0)))) // parametersHash
            mstore(add(order, 256), calldataload(add(pool, and(shr(123, indices), 0x1fffe0)))) // token
            mstore(add(order, 288), calldataload(add(pool, and(shr(107, indices), 0x1fffe0)))) // priceFloor
            mstore(add(order, 320), calldataload(add(pool, and(shr(91, indices), 0x1fffe0)))) // priceCap
            mstore(add(order, 352), calldataload(add(pool, and(shr(75, indices), 0x1fffe0)))) // rampStart
            mstore(add(order, 384), calldataload(add(pool, and(shr(59, indices), 0x1fffe0)))) // rampEnd
            mstore(add(order, 416), calldataload(add(pool, and(shr(43, indices), 0x1fffe0)))) // verifierFee
            mstore(add(order, 448), calldataload(add(pool, and(shr(27, indices), 0x1fffe0)))) // royaltyBps
            mstore(add(order, 480), calldataload(add(pool, and(shr(11, indices), 0x1fffe0)))) // collateralToken
            mstore(add(order, 512), calldataload(add(pool, and(shl(5, indices), 0x1fffe0)))) // collateral
            indices := calldataload(add(cursor, 32))
            mstore(add(order, 544), calldataload(add(pool, and(shr(235, indices), 0x1fffe0)))) // promiseBy
            mstore(add(order, 576), calldataload(add(pool, and(shr(219, indices), 0x1fffe0)))) // finalBy
            mstore(add(order, 608), calldataload(add(pool, and(shr(203, indices), 0x1fffe0)))) // consumer
            mstore(add(order, 640), calldataload(add(pool, and(shr(187, indices), 0x1fffe0)))) // context
            mstore(add(order, 672), calldataload(add(pool, and(shr(171, indices), 0x1fffe0)))) // replyKey
            mstore(add(award, 64), calldataload(add(pool, and(shr(155, indices), 0x1fffe0)))) // prover
            mstore(add(award, 96), calldataload(add(pool, and(shr(139, indices), 0x1fffe0)))) // payout
            mstore(add(award, 128), calldataload(add(pool, and(shr(123, indices), 0x1fffe0)))) // price
            mstore(add(award, 160), calldataload(add(pool, and(shr(107, indices), 0x1fffe0)))) // promiseAt
            mstore(add(award, 192), calldataload(add(pool, and(shr(91, indices), 0x1fffe0)))) // lockBy
            let settler := calldataload(add(pool, and(shr(75, indices), 0x1fffe0)))
            mstore(add(job, 128), shr(96, shl(96, settler)))
            more := and(shr(40, indices), 0xffffffffff)
            mstore(add(order, 128), calldataload(add(cursor, 59))) // inputCommitment
            mstore(add(order, 704), calldataload(add(cursor, 91))) // salt
            mstore(award, 0)
            mstore(add(award, 32), calldataload(add(cursor, 123))) // bidHash
            mstore(parts, add(cursor, 155))
            cursor := add(cursor, 411)
        }
        cursor = _outputs(cursor, pool, job, more >> 24);
        job.voided = more & 0xff != 0;
        parts.signatureAt = cursor;
        parts.signatureLength = more >> 8 & 0xffff;
        cursor += more >> 8 & 0xffff;
        if (job.voided) cursor = _locking(cursor, pool, job.locking);
        reader.position = cursor;
    }

    /// The statement, with room for commitment and binding before and after the outputs.
    function _outputs(uint256 cursor, uint256 pool, Job memory job, uint256 count) private pure returns (uint256 end) {
        uint256[] memory inputs;
        assembly ("memory-safe") {
            inputs := mload(0x40)
            mstore(inputs, add(count, 2))
            let to := add(inputs, 64)
            for { end := add(cursor, shl(1, count)) } lt(cursor, end) { cursor := add(cursor, 2) } {
                mstore(to, calldataload(add(pool, and(shr(235, calldataload(cursor)), 0x1fffe0))))
                to := add(to, 32)
            }
            mstore(0x40, add(to, 32))
        }
        job.inputs = inputs;
    }

    function _locking(uint256 cursor, uint256 pool, Award memory locking) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            mstore(locking, 0)
            mstore(add(locking, 32), calldataload(cursor))
            cursor := add(cursor, 32)
            end := add(cursor, 10)
            for { let to := add(locking, 64) } lt(cursor, end) { to := add(to, 32) } {
                mstore(to, calldataload(add(pool, and(shr(235, calldataload(cursor)), 0x1fffe0))))
                cursor := add(cursor, 2)
            }
        }
    }

    /// Reads a single order and an award into memory that is zero; says where what follows begins.
    function single(bytes calldata packed, Order memory order, Award memory award) internal pure returns (uint256 cursor) {
        uint256 form;
        assembly ("memory-safe") {
            cursor := packed.offset
            form := byte(0, calldataload(cursor))
            mstore(order, shr(96, calldataload(add(cursor, 1)))) // client
            calldatacopy(add(order, 32), add(cursor, 21), 64) // programId, modelId
            mstore(add(order, 96), byte(0, calldataload(add(cursor, 85)))) // kind
            mstore(add(order, 128), calldataload(add(cursor, 86))) // inputCommitment
            let token := shr(96, calldataload(add(cursor, 118)))
            mstore(add(order, 256), token)
            mstore(add(order, 320), shr(128, calldataload(add(cursor, 138)))) // priceCap
            mstore(add(order, 416), shr(128, calldataload(add(cursor, 154)))) // verifierFee
            mstore(add(order, 448), shr(240, calldataload(add(cursor, 170)))) // royaltyBps
            mstore(add(order, 480), token) // collateralToken
            mstore(add(order, 512), shr(128, calldataload(add(cursor, 172)))) // collateral
            mstore(add(order, 544), shr(192, calldataload(add(cursor, 188)))) // promiseBy
            mstore(add(order, 576), shr(192, calldataload(add(cursor, 196)))) // finalBy
            calldatacopy(add(order, 672), add(cursor, 204), 64) // replyKey, salt
            cursor := add(cursor, 268)
            if and(form, OTHER_COLLATERAL) {
                mstore(add(order, 480), shr(96, calldataload(cursor)))
                cursor := add(cursor, 20)
            }
            if and(form, RARE) {
                mstore(add(order, 160), calldataload(cursor)) // inputHash
                mstore(add(order, 192), shr(192, calldataload(add(cursor, 32)))) // inputSize
                mstore(add(order, 224), calldataload(add(cursor, 40))) // parametersHash
                mstore(add(order, 288), shr(128, calldataload(add(cursor, 72)))) // priceFloor
                mstore(add(order, 352), shr(192, calldataload(add(cursor, 88)))) // rampStart
                mstore(add(order, 384), shr(192, calldataload(add(cursor, 96)))) // rampEnd
                mstore(add(order, 608), shr(96, calldataload(add(cursor, 104)))) // consumer
                mstore(add(order, 640), calldataload(add(cursor, 124))) // context
                cursor := add(cursor, 156)
            }
            mstore(add(award, 32), calldataload(cursor)) // bidHash
            mstore(add(award, 64), shr(96, calldataload(add(cursor, 32)))) // prover
            mstore(add(award, 96), shr(96, calldataload(add(cursor, 52)))) // payout
            mstore(add(award, 128), shr(128, calldataload(add(cursor, 72)))) // price
            mstore(add(award, 160), shr(192, calldataload(add(cursor, 88)))) // promiseAt
            mstore(add(award, 192), shr(192, calldataload(add(cursor, 96)))) // lockBy
            cursor := add(cursor, 104)
        }
    }
}
