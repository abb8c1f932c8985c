// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CodeStorage} from "./CodeStorage.sol";
import {Groth16} from "./Groth16.sol";

/// Many Groth16 proofs of several programs in one pairing check.
///
/// With challenges r_i the N equations e(A, B) = e(alpha, beta) e(sum x_j IC_j, gamma) e(C, delta) become
///
///     prod e(-r_i A_i, B_i) * prod over programs e(s alpha, beta) e(sum w_j IC_j, gamma) e(sum r_i C_i, delta) = 1
///
/// with s = sum r_i and w_j = sum r_i x_ij. Pairs with the same point of G2 are added up in G1 first, so
/// with one phase 1 (alpha, beta, gamma shared) the check has N + 2 + (number of programs) pairings.
///
/// The challenges come from a hash of exactly what enters the check: the number of claims, their ids, the
/// hashes of their keys, every public input and every point. Nothing may be left out after hashing: who can
/// choose a subset afterwards finds bad proofs that cancel (docs/SECURITY.md, subset sum).
library Groth16Batch {
    struct Program {
        uint256[] key;
        bytes32 keyHash;
        /// w_j; the first is s, the weight of IC_0 and of alpha.
        uint256[] weights;
        uint256 cx;
        uint256 cy;
    }

    struct Batch {
        /// The programs, each once.
        Program[] programs;
        uint256 programCount;
        uint256 count;
        /// Per claim: its program, its public inputs, the proof's place in the call data, its hash.
        Program[] programOf;
        uint256[][] inputsOf;
        uint256[] proofAt;
        uint256[] leaves;
    }

    function empty(uint256 capacity) internal pure returns (Batch memory batch) {
        batch.programs = _references(capacity);
        batch.programOf = _references(capacity);
        batch.inputsOf = new uint256[][](capacity);
        batch.proofAt = new uint256[](capacity);
        batch.leaves = new uint256[](capacity);
    }

    function load(address keyPointer) internal view returns (Program memory program) {
        uint256[] memory key = CodeStorage.readWords(keyPointer);
        program.key = key;
        assembly ("memory-safe") {
            mstore(add(program, 32), keccak256(add(key, 32), shl(5, mload(key))))
        }
        program.weights = new uint256[]((key.length - Groth16.HEAD) / 2);
    }

    /// Adds a claim that will be checked, for certain: the proof lies at `proofAt` in the call data.
    function add(Batch memory batch, Program memory program, bytes32 id, uint256[] memory inputs, uint256 proofAt)
        internal
        pure
    {
        if (inputs.length + 1 != program.weights.length) {
            revert Groth16.WrongInputCount(inputs.length, program.weights.length - 1);
        }
        bytes32 leaf;
        assembly ("memory-safe") {
            let hashed := mload(0x40)
            let size := shl(5, mload(inputs))
            mstore(hashed, id)
            mstore(add(hashed, 32), mload(add(program, 32)))
            calldatacopy(add(hashed, 64), proofAt, 256)
            mcopy(add(hashed, 320), add(inputs, 32), size)
            leaf := keccak256(hashed, add(320, size))
        }
        _remember(batch, program);
        uint256 index = batch.count++;
        batch.programOf[index] = program;
        batch.inputsOf[index] = inputs;
        batch.proofAt[index] = proofAt;
        batch.leaves[index] = uint256(leaf);
    }

    /// Reverts unless every claim holds.
    function verify(Batch memory batch) internal view {
        uint256 count = batch.count;
        bytes32 seed = _seed(batch.leaves, count);
        uint256[] memory pairs = new uint256[](6 * count + 18 * batch.programCount);
        uint256[8] memory proof;
        for (uint256 i = 0; i < count; i++) {
            uint256 challenge = _challenge(seed, i);
            _readProof(batch.proofAt[i], proof);
            _addProof(batch.programOf[i], proof, challenge, pairs, 6 * i);
            _addInputs(batch.programOf[i], batch.inputsOf[i], challenge);
        }
        uint256 used = 6 * count;
        for (uint256 k = 0; k < batch.programCount; k++) {
            used = _addKey(batch.programs[k], pairs, 6 * count, used);
        }
        if (!_pairing(pairs, used)) revert Groth16.ProofInvalid();
    }

    /// The pair (-r A, B), and r C into the program's sum.
    function _addProof(
        Program memory program,
        uint256[8] memory proof,
        uint256 r,
        uint256[] memory pairs,
        uint256 place
    ) private view {
        Groth16.requireProof(proof);
        (uint256 x, uint256 y) = Groth16.multiply(proof[0], proof[1], r);
        y = Groth16.P - y; // r is not zero and A not infinity, so y is not zero either, or the check fails
        assembly ("memory-safe") {
            // `verify` has made room for six words at `place`.
            let pair := add(add(pairs, 32), shl(5, place))
            mstore(pair, x)
            mstore(add(pair, 32), y)
            mcopy(add(pair, 64), add(proof, 64), 128)
        }
        (x, y) = Groth16.multiply(proof[6], proof[7], r);
        (program.cx, program.cy) = Groth16.add(program.cx, program.cy, x, y);
    }

    function _addInputs(Program memory program, uint256[] memory inputs, uint256 r) private pure {
        uint256[] memory weights = program.weights;
        uint256 order = Groth16.R;
        uint256 outside;
        assembly ("memory-safe") {
            // `add` has made sure that there is one weight more than inputs.
            let weight := add(weights, 32)
            mstore(weight, addmod(mload(weight), r, order))
            let last := add(inputs, shl(5, mload(inputs)))
            for { let input := inputs } lt(input, last) {} {
                input := add(input, 32)
                weight := add(weight, 32)
                let value := mload(input)
                // Without this check input + r would be a second statement with the same proof.
                if iszero(lt(value, order)) { outside := input }
                mstore(weight, addmod(mload(weight), mulmod(r, value, order), order))
            }
            if outside { outside := shr(5, sub(outside, inputs)) }
        }
        if (outside != 0) revert Groth16.InputNotInField(outside - 1);
    }

    function _addKey(Program memory program, uint256[] memory pairs, uint256 from, uint256 used)
        private
        view
        returns (uint256)
    {
        uint256[] memory key = program.key;
        (uint256 x, uint256 y) = Groth16.multiply(key[0], key[1], program.weights[0]);
        used = _addPair(pairs, from, used, x, y, key, Groth16.BETA);
        (x, y) = Groth16.inputSum(key, program.weights);
        used = _addPair(pairs, from, used, x, y, key, Groth16.GAMMA);
        return _addPair(pairs, from, used, program.cx, program.cy, key, Groth16.DELTA);
    }

    /// Adds (x, y) to the pair that has the key's G2 point at `point` already, or makes one.
    function _addPair(
        uint256[] memory pairs,
        uint256 from,
        uint256 used,
        uint256 x,
        uint256 y,
        uint256[] memory key,
        uint256 point
    ) private view returns (uint256) {
        for (uint256 pair = from; pair < used; pair += 6) {
            if (_isPoint(pairs, pair + 2, key, point)) {
                (pairs[pair], pairs[pair + 1]) = Groth16.add(pairs[pair], pairs[pair + 1], x, y);
                return used;
            }
        }
        (pairs[used], pairs[used + 1]) = (x, y);
        for (uint256 i = 0; i < 4; i++) {
            pairs[used + 2 + i] = key[point + i];
        }
        return used + 6;
    }

    function _isPoint(uint256[] memory pairs, uint256 place, uint256[] memory key, uint256 point)
        private
        pure
        returns (bool same)
    {
        same = true;
        for (uint256 i = 0; i < 4; i++) {
            same = same && pairs[place + i] == key[point + i];
        }
    }

    function _pairing(uint256[] memory pairs, uint256 used) private view returns (bool holds) {
        assembly ("memory-safe") {
            let done := staticcall(gas(), 8, add(pairs, 32), shl(5, used), 0, 32)
            holds := and(done, eq(mload(0), 1))
        }
    }

    function _seed(uint256[] memory leaves, uint256 count) private pure returns (bytes32 seed) {
        assembly ("memory-safe") {
            mstore(leaves, count)
            seed := keccak256(leaves, shl(5, add(count, 1)))
        }
    }

    /// 254 bits: as many as the group's order has, so no subset of claims is small enough to search.
    function _challenge(bytes32 seed, uint256 index) private pure returns (uint256 challenge) {
        assembly ("memory-safe") {
            mstore(0, seed)
            mstore(32, index)
            challenge := shr(2, keccak256(0, 64))
        }
    }

    function _readProof(uint256 proofAt, uint256[8] memory proof) private pure {
        assembly ("memory-safe") {
            calldatacopy(proof, proofAt, 256)
        }
    }

    function _remember(Batch memory batch, Program memory program) private pure {
        uint256 known = batch.programCount;
        for (uint256 i = 0; i < known; i++) {
            if (_same(batch.programs[i], program)) return;
        }
        batch.programs[known] = program;
        batch.programCount = known + 1;
    }

    function _same(Program memory one, Program memory other) private pure returns (bool same) {
        assembly ("memory-safe") {
            same := eq(one, other)
        }
    }

    /// `new Program[](n)` would also make n empty programs; here each is set before it is read.
    function _references(uint256 capacity) private pure returns (Program[] memory list) {
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(list, capacity)
            mstore(0x40, add(list, shl(5, add(capacity, 1))))
        }
    }
}
