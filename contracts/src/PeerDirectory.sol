// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// Where the nodes of accounts can be reached, for newcomers who trust the chain and no peer. Events alone: nothing
/// is stored, nothing is owned, and nobody can take back another's word.
contract PeerDirectory {
    uint256 public constant MAX_BYTES = 1024;

    /// An account's last word for an Escrow counts; an empty one takes it back.
    event Announced(address indexed escrow, address indexed account, bytes addresses);

    error AddressesTooLong(uint256 length);

    /// Says where the caller's node for the market of `escrow` listens: multiaddresses in UTF-8, one a line.
    function announce(address escrow, bytes calldata addresses) external {
        if (addresses.length > MAX_BYTES) revert AddressesTooLong(addresses.length);
        emit Announced(escrow, msg.sender, addresses);
    }
}
