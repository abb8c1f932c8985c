// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// Groth16 over BN254 (Groth 2016; EIP-196, EIP-197) for any verifying key. Every check reverts on false,
/// so that a gas estimate can never be that of a refused proof.
///
/// A key is a word list: alpha (2), beta (4), gamma (4), delta (4), then one IC point (2) per public input
/// and one more; G2 points with the imaginary part first. A proof is A (2), B (4), C (2).
library Groth16 {
    error WrongKeyLength(uint256 length);
    error WrongInputCount(uint256 given, uint256 expected);
    error InputNotInField(uint256 index);
    error ProofNotInField(uint256 index);
    error ProofInvalid();
    error KeyNotInField(uint256 index);
    error KeyPointAtInfinity(uint256 index);
    error KeyPointNotOnCurve(uint256 index);
    error KeyPointRepeated(uint256 index);
    error KeyGroup2Invalid();

    /// The base field's modulus p and the groups' order r (EIP-196).
    uint256 internal constant P = 21888242871839275222246405745257275088696311157297823662689037894645226208583;
    uint256 internal constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// Words before the IC points. A statement has at least a commitment and a binding: three IC points.
    uint256 internal constant HEAD = 14;
    uint256 internal constant MIN_KEY = HEAD + 3 * 2;
    uint256 internal constant MAX_KEY = 766;

    uint256 internal constant BETA = 2;
    uint256 internal constant GAMMA = 6;
    uint256 internal constant DELTA = 10;

    /// e(A, B) = e(alpha, beta) e(IC_0 + sum input_i IC_i, gamma) e(C, delta), or revert.
    function verify(uint256[] memory key, uint256[] memory inputs, uint256[8] memory proof) internal view {
        if (key.length != HEAD + 2 * (inputs.length + 1)) {
            revert WrongInputCount(inputs.length, key.length < HEAD + 2 ? 0 : (key.length - HEAD) / 2 - 1);
        }
        requireProof(proof);
        uint256[] memory weights = new uint256[](inputs.length + 1);
        weights[0] = 1;
        for (uint256 i = 0; i < inputs.length; i++) {
            // Without this check input + r would be a second statement with the same proof.
            if (inputs[i] >= R) revert InputNotInField(i);
            weights[i + 1] = inputs[i];
        }

        uint256[24] memory pairs;
        (pairs[0], pairs[1]) = (proof[0], (P - proof[1]) % P);
        for (uint256 i = 0; i < 4; i++) {
            pairs[2 + i] = proof[2 + i];
            pairs[8 + i] = key[BETA + i];
            pairs[14 + i] = key[GAMMA + i];
            pairs[20 + i] = key[DELTA + i];
        }
        (pairs[6], pairs[7]) = (key[0], key[1]);
        (pairs[12], pairs[13]) = inputSum(key, weights);
        (pairs[18], pairs[19]) = (proof[6], proof[7]);

        bool holds;
        assembly ("memory-safe") {
            let done := staticcall(gas(), 8, pairs, 768, 0, 32)
            holds := and(done, eq(mload(0), 1))
        }
        if (!holds) revert ProofInvalid();
    }

    /// Refuses keys under which false statements could be proved, or one proof passed off for another.
    function requireSoundKey(uint256[] memory key) internal view {
        if (key.length < MIN_KEY || key.length > MAX_KEY || key.length % 2 != 0) {
            revert WrongKeyLength(key.length);
        }
        for (uint256 i = 0; i < key.length; i++) {
            if (key[i] >= P) revert KeyNotInField(i);
        }
        _requireGroup1(key, 0);
        for (uint256 i = HEAD; i < key.length; i += 2) {
            _requireGroup1(key, i);
            // Equal or opposite points let a prover move weight from one public input to another.
            for (uint256 j = HEAD; j < i; j += 2) {
                if (key[i] == key[j]) revert KeyPointRepeated(i);
            }
        }
        _requireGroup2(key);
    }

    /// Coordinates below p, and A and C on the curve: the precompiles would burn all gas of the call
    /// before they refuse. B is left to the pairing, which also checks its subgroup.
    function requireProof(uint256[8] memory proof) internal pure {
        uint256 modulus = P;
        uint256 outside;
        assembly ("memory-safe") {
            // From the last word to the first, so that the first one outside is named.
            for { let word := add(proof, 224) } iszero(lt(word, proof)) { word := sub(word, 32) } {
                if iszero(lt(mload(word), modulus)) { outside := add(1, shr(5, sub(word, proof))) }
            }
        }
        if (outside != 0) revert ProofNotInField(outside - 1);
        if (!_onCurve(proof[0], proof[1]) || !_onCurve(proof[6], proof[7])) revert ProofInvalid();
    }

    /// weights_0 IC_0 + weights_1 IC_1 + ..., with as many weights as the key has IC points.
    function inputSum(uint256[] memory key, uint256[] memory weights)
        internal
        view
        returns (uint256 x, uint256 y)
    {
        for (uint256 i = 0; i < weights.length; i++) {
            (uint256 px, uint256 py) = multiply(key[HEAD + 2 * i], key[HEAD + 2 * i + 1], weights[i]);
            (x, y) = add(x, y, px, py);
        }
    }

    /// EIP-196 multiplication.
    function multiply(uint256 x, uint256 y, uint256 scalar) internal view returns (uint256, uint256) {
        bool done;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, x)
            mstore(add(buffer, 32), y)
            mstore(add(buffer, 64), scalar)
            done := staticcall(gas(), 7, buffer, 96, buffer, 64)
            x := mload(buffer)
            y := mload(add(buffer, 32))
        }
        if (!done) revert ProofInvalid();
        return (x, y);
    }

    /// EIP-196 addition; (0, 0) is the point at infinity.
    function add(uint256 x, uint256 y, uint256 otherX, uint256 otherY)
        internal
        view
        returns (uint256, uint256)
    {
        bool done;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, x)
            mstore(add(buffer, 32), y)
            mstore(add(buffer, 64), otherX)
            mstore(add(buffer, 96), otherY)
            done := staticcall(gas(), 6, buffer, 128, buffer, 64)
            x := mload(buffer)
            y := mload(add(buffer, 32))
        }
        if (!done) revert ProofInvalid();
        return (x, y);
    }

    /// On the curve y^2 = x^3 + 3, and not at infinity.
    function _onCurve(uint256 x, uint256 y) private pure returns (bool) {
        return mulmod(y, y, P) == addmod(mulmod(mulmod(x, x, P), x, P), 3, P);
    }

    function _requireGroup1(uint256[] memory key, uint256 index) private pure {
        (uint256 x, uint256 y) = (key[index], key[index + 1]);
        if (x == 0 && y == 0) revert KeyPointAtInfinity(index);
        if (!_onCurve(x, y)) revert KeyPointNotOnCurve(index);
    }

    /// beta, gamma and delta: not infinity, pairwise neither equal nor opposite (with any two so related a
    /// proof of anything can be written down), on the curve and in the subgroup of order r.
    function _requireGroup2(uint256[] memory key) private view {
        uint256[18] memory pairs;
        for (uint256 k = 0; k < 3; k++) {
            uint256 from = BETA + 4 * k;
            if (key[from] | key[from + 1] | key[from + 2] | key[from + 3] == 0) revert KeyPointAtInfinity(from);
            for (uint256 j = BETA; j < from; j += 4) {
                if (key[from] == key[j] && key[from + 1] == key[j + 1]) revert KeyPointRepeated(from);
            }
            for (uint256 i = 0; i < 4; i++) {
                pairs[6 * k + 2 + i] = key[from + i];
            }
        }
        // The precompile fails for a point off the curve or the subgroup, also beside G1's infinity.
        bool valid;
        assembly ("memory-safe") {
            valid := staticcall(gas(), 8, pairs, 576, 0, 32)
        }
        if (!valid) revert KeyGroup2Invalid();
    }
}
