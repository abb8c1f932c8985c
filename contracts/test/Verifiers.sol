// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IProofVerifier} from "../src/IProofVerifier.sol";

/// A proof system without any secret: the proof is the hash of the statement. Real enough for a market.
library HashProof {
    function prove(uint256[] memory inputs) internal pure returns (bytes memory) {
        return abi.encodePacked(keccak256(abi.encode("hash proof", inputs)));
    }
}

/// An honest verifier, which uses as much gas as it is told first.
contract HashVerifier is IProofVerifier {
    uint256 private immutable _gas;

    constructor(uint256 gas_) {
        _gas = gas_;
    }

    function proves(uint256[] calldata inputs, bytes calldata proof) external view returns (bytes4) {
        uint256 until = gasleft() > _gas ? gasleft() - _gas : 0;
        bool good = keccak256(proof) == keccak256(HashProof.prove(inputs));
        require(until != 0, "too little gas");
        while (gasleft() > until) {}
        return good ? IProofVerifier.proves.selector : bytes4(0);
    }
}

/// Every way to answer that is none.
contract OddVerifier {
    enum Way {
        Zero,
        True, // a bool, as other verifiers answer
        Nothing,
        Short,
        Long,
        Bomb, // a megabyte that begins with the right word
        Reverts,
        RevertsBomb,
        RevertsRight, // with the right word
        Burns,
        Invalid
    }

    Way private immutable _way;

    constructor(Way way) {
        _way = way;
    }

    fallback() external {
        bytes32 right = bytes32(IProofVerifier.proves.selector);
        Way way = _way;
        if (way == Way.Burns) while (true) {}
        assembly ("memory-safe") {
            mstore(0, right)
            switch way
            case 0 {
                mstore(0, 0)
                return(0, 32)
            }
            case 1 {
                mstore(0, 1)
                return(0, 32)
            }
            case 2 { return(0, 0) }
            case 3 { return(0, 4) }
            case 4 { return(0, 64) }
            case 5 { return(0, 1000000) }
            case 6 { revert(0, 0) }
            case 7 { revert(0, 1000000) }
            case 8 { revert(0, 32) }
            default { invalid() }
        }
    }
}

/// Says yes to everything, after it has tried to make somebody richer.
contract MeddlingVerifier {
    address private immutable _target;
    bytes private _data;

    constructor(address target, bytes memory data) {
        (_target, _data) = (target, data);
    }

    function proves(uint256[] calldata, bytes calldata) external returns (bytes4) {
        (bool done,) = _target.call(_data);
        require(!done, "a static call changed something");
        return IProofVerifier.proves.selector;
    }
}
