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
/// choose a subset afterwards finds bad proofs that cancel (docs/SECURITY.md, subset sum). The first one is 1:
/// the equations were divided by it, which saves two multiplications and gives nobody a choice.
library Groth16Batch {
    struct Program {
        uint256[] key;
        bytes32 keyHash;
        /// w_j; the first is s, the weight of IC_0 and of alpha.
        uint256[] weights;
        /// The sum of r_i C_i, and behind it room for the next r_i C_i, as the precompile for additions takes them.
        uint256 cx;
        uint256 cy;
        uint256 nextX;
        uint256 nextY;
        /// What alpha is multiplied by: s, with that of the programs that share alpha and beta.
        uint256 alphaWeight;
        bool used;
    }

    /// One proof to be checked.
    struct Claim {
        Program program;
        uint256[] inputs;
        /// Its place in the call data.
        uint256 proofAt;
    }

    struct Batch {
        /// The programs, each once.
        Program[] programs;
        uint256 programCount;
        uint256 count;
        Claim[] claims;
        /// Per claim the hash of what enters the check.
        uint256[] leaves;
    }

    function empty(uint256 capacity) internal pure returns (Batch memory batch) {
        Program[] memory programs;
        Claim[] memory claims;
        uint256[] memory leaves;
        assembly ("memory-safe") {
            // References and numbers that are set before they are read; a claim is three words.
            let room := shl(5, add(capacity, 1))
            programs := mload(0x40)
            mstore(programs, capacity)
            leaves := add(programs, room)
            mstore(leaves, capacity)
            claims := add(leaves, room)
            mstore(claims, capacity)
            mstore(0x40, add(claims, add(room, mul(96, capacity))))
            for { let i := 0 } lt(i, capacity) { i := add(i, 1) } {
                mstore(add(claims, shl(5, add(i, 1))), add(claims, add(room, mul(96, i))))
            }
        }
        (batch.programs, batch.claims, batch.leaves) = (programs, claims, leaves);
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
        uint256 hashed;
        assembly ("memory-safe") {
            hashed := mload(0x40)
            mstore(hashed, id)
            mstore(add(hashed, 32), mload(add(program, 32)))
            calldatacopy(add(hashed, 64), proofAt, 256)
            mcopy(add(hashed, 320), add(inputs, 32), shl(5, mload(inputs)))
        }
        _requireProof(hashed + 64);
        if (!program.used) {
            program.used = true;
            batch.programs[batch.programCount++] = program;
        }
        uint256 index = batch.count++;
        Claim memory claim = batch.claims[index];
        (claim.program, claim.inputs, claim.proofAt) = (program, inputs, proofAt);
        uint256[] memory leaves = batch.leaves;
        assembly ("memory-safe") {
            // `batch.claims[index]` has checked the index.
            mstore(add(leaves, shl(5, add(index, 1))), keccak256(hashed, add(320, shl(5, mload(inputs)))))
        }
    }

    /// Reverts unless every claim holds.
    function verify(Batch memory batch) internal view {
        uint256 count = batch.count;
        bytes32 seed = _seed(batch.leaves, count);
        uint256[] memory pairs = _pairs(6 * count + 18 * batch.programCount);
        bool done = true;
        for (uint256 i = 0; i < count; i++) {
            Claim memory claim = batch.claims[i];
            uint256 challenge = _challenge(seed, i);
            done = _addProof(claim, challenge, pairs, 192 * i) && done;
            _addInputs(claim.program.weights, claim.inputs, challenge);
        }
        // The points are on the curve, so no multiplication fails but for want of gas.
        if (!done) revert Groth16.ProofInvalid();
        _shareAlphas(batch);
        uint256 used = 6 * count;
        for (uint256 k = 0; k < batch.programCount; k++) {
            used = _addKey(batch.programs[k], pairs, 6 * count, used);
        }
        if (!_pairing(pairs, used)) revert Groth16.ProofInvalid();
    }

    /// Coordinates below p, and A and C on the curve: the precompiles would burn all gas of the call before
    /// they refuse. B is left to the pairing, which also checks its subgroup. As in Groth16.requireProof; the
    /// proof lies at `proof` in memory.
    function _requireProof(uint256 proof) private pure {
        uint256 p = Groth16.P;
        bool inField;
        bool onCurve;
        assembly ("memory-safe") {
            let ax := mload(proof)
            let ay := mload(add(proof, 32))
            let cx := mload(add(proof, 192))
            let cy := mload(add(proof, 224))
            inField := and(
                and(and(lt(ax, p), lt(ay, p)), and(lt(cx, p), lt(cy, p))),
                and(
                    and(lt(mload(add(proof, 64)), p), lt(mload(add(proof, 96)), p)),
                    and(lt(mload(add(proof, 128)), p), lt(mload(add(proof, 160)), p))
                )
            )
            // y^2 = x^3 + 3, which infinity (0, 0) does not satisfy.
            onCurve := and(
                eq(mulmod(ay, ay, p), addmod(mulmod(mulmod(ax, ax, p), ax, p), 3, p)),
                eq(mulmod(cy, cy, p), addmod(mulmod(mulmod(cx, cx, p), cx, p), 3, p))
            )
        }
        if (!inField) _revertOutside(proof);
        if (!onCurve) revert Groth16.ProofInvalid();
    }

    /// Names the first word of a proof that is no coordinate.
    function _revertOutside(uint256 proof) private pure {
        for (uint256 i = 0; i < 8; i++) {
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(proof, shl(5, i)))
            }
            if (word >= Groth16.P) revert Groth16.ProofNotInField(i);
        }
    }

    /// The pair (-r A, B) at `place` bytes, and r C into the program's sum.
    function _addProof(Claim memory claim, uint256 r, uint256[] memory pairs, uint256 place)
        private
        view
        returns (bool done)
    {
        Program memory program = claim.program;
        uint256 proofAt = claim.proofAt;
        uint256 p = Groth16.P;
        assembly ("memory-safe") {
            // `verify` has made room for six words at `place`, and there is a word for `r` behind the pairs.
            let pair := add(add(pairs, 32), place)
            let product := mload(0x40)
            calldatacopy(product, proofAt, 64)
            mstore(add(product, 64), r)
            done := 1
            // r is 1: the point itself
            switch r
            case 1 { calldatacopy(pair, proofAt, 64) }
            default { done := staticcall(gas(), 7, product, 96, pair, 64) }
            // r is not zero and A not infinity, so y is not zero either, or the check fails.
            let y := add(pair, 32)
            mstore(y, sub(p, mload(y)))
            calldatacopy(add(pair, 64), add(proofAt, 64), 128)
            calldatacopy(product, add(proofAt, 192), 64)
            let sum := add(program, 96)
            switch r
            case 1 { calldatacopy(add(sum, 64), add(proofAt, 192), 64) }
            default { done := and(done, staticcall(gas(), 7, product, 96, add(sum, 64), 64)) }
            done := and(done, staticcall(gas(), 6, sum, 128, sum, 64))
        }
    }

    function _addInputs(uint256[] memory weights, uint256[] memory inputs, uint256 r) private pure {
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

    /// Programs of one phase 1 have the same alpha and beta: their weights are added up, and alpha is
    /// multiplied once, in the name of the first of them.
    function _shareAlphas(Batch memory batch) private pure {
        for (uint256 k = 0; k < batch.programCount; k++) {
            Program memory program = batch.programs[k];
            uint256 first = 0;
            while (first < k && !_sameAlpha(batch.programs[first].key, program.key)) first++;
            Program memory named = batch.programs[first];
            named.alphaWeight = addmod(named.alphaWeight, program.weights[0], Groth16.R);
        }
    }

    /// Alpha (2 words) and beta (4) are the head of a key.
    function _sameAlpha(uint256[] memory one, uint256[] memory other) private pure returns (bool same) {
        assembly ("memory-safe") {
            same := eq(keccak256(add(one, 32), 192), keccak256(add(other, 32), 192))
        }
    }

    function _addKey(Program memory program, uint256[] memory pairs, uint256 from, uint256 used)
        private
        view
        returns (uint256)
    {
        uint256[] memory key = program.key;
        (uint256 x, uint256 y) = (0, 0);
        if (program.alphaWeight != 0) {
            (x, y) = Groth16.multiply(key[0], key[1], program.alphaWeight);
            used = _addPair(pairs, from, used, x, y, key, Groth16.BETA);
        }
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
        if (index == 0) return 1;
        assembly ("memory-safe") {
            mstore(0, seed)
            mstore(32, index)
            challenge := shr(2, keccak256(0, 64))
        }
    }

    /// Words that are set before they are read.
    function _pairs(uint256 words) private pure returns (uint256[] memory pairs) {
        assembly ("memory-safe") {
            pairs := mload(0x40)
            mstore(pairs, words)
            mstore(0x40, add(pairs, shl(5, add(words, 1))))
        }
    }
}
