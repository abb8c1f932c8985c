// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// A token that returns nothing (like USDT), takes a fee on transfers if told so, and can call back.
contract OddToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint256 public feeBps;
    address private _hook;
    bytes private _data;
    bool public hookSucceeded;

    constructor(uint256 feeBps_) {
        feeBps = feeBps_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function onTransfer(address hook, bytes calldata data) external {
        (_hook, _data) = (hook, data);
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) internal {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount * feeBps / 10_000;
        if (_hook != address(0)) {
            (bool done,) = _hook.call(_data);
            hookSucceeded = hookSucceeded || done;
        }
    }
}

/// An ordinary token with a permit (ERC-2612) and signed transfers (ERC-3009), both without their cryptography.
contract SignedToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => uint256) public permits;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    /// Good once for each account, like a nonce.
    function permit(address owner, address spender, uint256 amount, uint256, uint8, bytes32, bytes32) external {
        require(permits[owner]++ == 0, "used");
        allowance[owner][spender] = amount;
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 amount,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        require(msg.sender == to, "caller must be the payee");
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}
