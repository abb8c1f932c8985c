# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error tree: every error that a user or a peer can meet has a stable code and a remedy.

A message never contains key material, a private input or the bytes of a refused message.
`exit_code` is what the CLI returns: 1 failed, 2 usage, 3 configuration, 4 chain or RPC,
5 proof invalid, 6 timeout, 7 funds.
"""

from __future__ import annotations

from typing import ClassVar


class ProofmeshError(Exception):
    """Base of all errors of the project; `str()` gives `[PM-AREA-NNN] what happened. remedy`."""

    code: ClassVar[str] = "PM-GEN-001"
    exit_code: ClassVar[int] = 1
    remedy: ClassVar[str] = "Run the command again with --verbose and read the log."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = remedy if remedy is not None else self.remedy

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} {self.advice}".rstrip()


class UsageError(ProofmeshError):
    """The command was called with arguments that make no sense together."""

    code = "PM-USE-001"
    exit_code = 2
    remedy = "See --help."


class ConfigError(ProofmeshError):
    """The configuration or the data folder is missing, unreadable or contradictory."""

    code = "PM-CFG-001"
    exit_code = 3
    remedy = "Run `proofmesh doctor`."


# --- wire: what a peer sends -------------------------------------------------------------


class WireError(ProofmeshError):
    """A message from a peer is not acceptable."""

    code = "PM-WIRE-001"
    remedy = "The peer runs another version or is hostile; nothing to do here."


class NotCanonicalError(WireError):
    """The bytes are not the canonical encoding of a known message."""

    code = "PM-WIRE-002"


class FrameTooLargeError(WireError):
    """A frame announces more bytes than its kind may have."""

    code = "PM-WIRE-003"


class UnknownMessageError(WireError):
    """The kind or the version of a message is unknown."""

    code = "PM-WIRE-004"


class WrongNetworkError(WireError):
    """The message belongs to another chain or another Escrow."""

    code = "PM-WIRE-005"
    remedy = "Check chain_id and escrow in the configuration of both sides."


class TruncatedFrameError(WireError):
    """The stream ended inside a frame."""

    code = "PM-WIRE-006"


# --- signatures and sealing --------------------------------------------------------------


class SignatureError(ProofmeshError):
    """A signature does not come from the account that it names."""

    code = "PM-SIG-001"
    remedy = "Ask the sender to sign again with the account named in the message."


class AccountKeyError(ProofmeshError, ValueError):
    """A private key is not a key of secp256k1; a `ValueError` for whoever reads keys from files."""

    code = "PM-SIG-002"
    exit_code = 3
    remedy = "Use 32 bytes as a wallet exports them, or let `proofmesh init` draw a key."


class SealError(ProofmeshError):
    """A sealed message cannot be opened with this key for this award."""

    code = "PM-SEAL-001"
    remedy = "Ask the client to seal the input again to the key in the bid."


# --- network: libp2p, peers, bundle transfer ---------------------------------------------


class NetworkError(ProofmeshError):
    """Something between this node and its peers failed."""

    code = "PM-NET-001"
    remedy = "Run `proofmesh doctor` and look at the peers."


class PeerUnreachableError(NetworkError):
    """No connection to the peer can be made, or it was lost."""

    code = "PM-NET-002"
    remedy = "Check the peer's address and that it is running; the node goes on trying."


class PeerTimeoutError(NetworkError):
    """The peer did not answer in time."""

    code = "PM-NET-003"
    exit_code = 6
    remedy = "The peer is overloaded or stopped; try again or ask another one."


class PeerRefusedError(NetworkError):
    """The peer reset the stream or does not speak the protocol."""

    code = "PM-NET-004"
    remedy = "The peer runs another version or network, is overloaded, or failed; ask another one."


class ResponseTooLargeError(NetworkError):
    """The peer's answer announces more bytes than the caller takes."""

    code = "PM-NET-005"
    remedy = "The peer is faulty or hostile; ask another one."


class GossipTooLargeError(NetworkError):
    """A gossip message is longer than the network carries."""

    code = "PM-NET-006"
    remedy = "Send what is long over a stream and gossip only its hash."


class ListenError(NetworkError):
    """The node cannot listen on the configured address."""

    code = "PM-NET-007"
    exit_code = 3
    remedy = "Choose another address or port in the configuration (port 0 takes any free one)."


class AddressError(NetworkError):
    """A peer's address is not a usable multiaddr."""

    code = "PM-NET-008"
    exit_code = 2
    remedy = "Write it as /ip4/<address>/tcp/<port>/p2p/<peer id>."


class TransportDownError(NetworkError):
    """The network service is not running."""

    code = "PM-NET-009"
    remedy = "Wait for the node to restart its network service, or restart the node."


class PeerBannedError(NetworkError):
    """The peer misbehaved and is banned for a while."""

    code = "PM-NET-010"
    remedy = "The ban ends by itself; the log says why it was given."


class IdentityError(NetworkError):
    """The network key file is damaged or readable by others."""

    code = "PM-NET-011"
    exit_code = 3
    remedy = "Restore the file, or delete it and let the node make a new network identity."


class Misbehaviour(NetworkError):
    """A handler found that the peer broke the rules; its score falls by `weight`."""

    code = "PM-NET-012"
    remedy = "The peer runs another version or is hostile; nothing to do here."

    def __init__(self, message: str, *, weight: float = 25.0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.weight = weight


class PeerStoreError(NetworkError):
    """The file of peers of earlier runs is damaged, too large or not readable."""

    code = "PM-NET-013"
    exit_code = 3
    remedy = "Nothing is lost: the file is put aside and the node finds its peers anew."


class BundleUnavailableError(NetworkError):
    """No source has the bundle, or none could finish sending it."""

    code = "PM-NET-020"
    remedy = "Name a peer that serves the bundle; what was verified so far is kept and resumed."


class BundleRefusedError(NetworkError):
    """The bundle's manifest is not acceptable: too large, or with unsafe file names."""

    code = "PM-NET-021"
    remedy = "Raise the limit if you trust the publisher; otherwise do not pull this bundle."


class BundleDiskError(NetworkError):
    """There is no room for the bundle, by the quota or on the disk, or the disk refuses to write."""

    code = "PM-NET-022"
    remedy = "Free space, or raise `bundle_quota_bytes`; `proofmesh bundle list` shows what takes it."


# --- node: settings, folder, keys, journal ------------------------------------------------


class SettingsError(ConfigError):
    """A key of config.toml, the environment or a flag is unknown or has no acceptable value."""

    code = "PM-CFG-002"
    remedy = "Correct the key, or run `proofmesh config show` to see what is accepted."


class FolderLockedError(ConfigError):
    """Another process works on the same data folder."""

    code = "PM-CFG-003"
    remedy = "Stop the other daemon, or give this one its own folder with --data-dir."


class FolderError(ConfigError):
    """The data folder cannot be made, is open to other users, or its disk is full."""

    code = "PM-CFG-004"
    remedy = "Check owner, mode (chmod 700) and free space of the data folder."


class FileAccessError(ConfigError):
    """A file cannot be read or written: it is missing, somebody else's, a folder, or its disk is full."""

    code = "PM-CFG-006"
    remedy = "Check the path, its owner and mode, and free space."


class KeystoreError(ConfigError):
    """The keystore file is missing, unreadable or not a Web3 Secret Storage v3 file."""

    code = "PM-KEY-001"
    remedy = "Put your copy there, or `proofmesh account import` it where none is. For a new node: `proofmesh init`."


class WrongPasswordError(KeystoreError):
    """The password does not open the keystore."""

    code = "PM-KEY-002"
    remedy = "Try again; a keystore cannot be opened without its password."


class NoPasswordError(KeystoreError):
    """No password was given and there is nobody to ask."""

    code = "PM-KEY-003"
    remedy = "Give a file with --password-file or PROOFMESH_PASSWORD_FILE."


class JournalError(ProofmeshError):
    """The journal cannot be opened, read or written."""

    code = "PM-JRN-001"
    exit_code = 3
    remedy = "Check that the data folder is on a local disk with free space."


class JournalFormatError(JournalError):
    """The journal was written by another version, or is no journal at all."""

    code = "PM-JRN-002"
    remedy = "Use the version that wrote it, or start in a new data folder."


class JournalCorruptError(JournalError):
    """A record of the journal is damaged; going on could pay or act twice."""

    code = "PM-JRN-003"
    remedy = (
        "Save what can be read with `proofmesh journal export`, then restore a backup or start in a new data folder "
        "with the same account; funds on-chain are safe and can be withdrawn."
    )


class JournalFullError(JournalError):
    """The disk under the journal is full or read-only: nothing can be promised until it can be written."""

    code = "PM-JRN-004"
    exit_code = 1
    remedy = "Free space on the data folder's disk, or make it writable; a running node goes on by itself."


class JournalLostError(JournalError):
    """The journal is gone or empty where a node has run: what it promised is not known."""

    code = "PM-JRN-005"
    remedy = (
        "Restore a backup with which nothing has run since. To go on without it remove status.json from the data "
        "folder: jobs under way are lost, money on-chain is not."
    )


class VaultError(ProofmeshError):
    """A secret in the vault is missing, or its name is not acceptable."""

    code = "PM-VLT-001"
    remedy = "The secret may have been erased after the job's final deadline."


# --- node: chain --------------------------------------------------------------------------


class ChainError(ProofmeshError):
    """The chain or the RPC in front of it did not do what was asked."""

    code = "PM-RPC-001"
    exit_code = 4
    remedy = "Check rpc_url, and that the chain's node is running."


class RpcDownError(ChainError):
    """Nobody answers at the RPC's address."""

    code = "PM-RPC-002"


class RpcTimeoutError(ChainError):
    """The RPC took the request but did not answer in time."""

    code = "PM-RPC-003"


class RpcMalformedError(ChainError):
    """The answer is not what the JSON-RPC or Ethereum specification allows."""

    code = "PM-RPC-004"
    remedy = "Check that rpc_url is an Ethereum JSON-RPC endpoint."


class RpcRefusedError(ChainError):
    """The RPC answered with an error that is not a revert."""

    code = "PM-RPC-005"
    remedy = "Read the RPC's own message; the request may exceed its limits."


class WrongChainError(ChainError):
    """The RPC serves another chain than the one configured."""

    code = "PM-RPC-006"
    remedy = "Set rpc_url and chain_id to the same chain."


class RevertedError(ChainError):
    """A contract refused the call; `data` is what it reverted with."""

    code = "PM-RPC-007"
    remedy = "Look the reason up in the contract's errors."

    def __init__(self, message: str, *, data: bytes = b"", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.data = data


class ReorgTooDeepError(ChainError):
    """The chain replaced more blocks than the follower remembers."""

    code = "PM-RPC-008"
    remedy = "Compare the endpoints. If this is the chain, start again (it is read anew); if reset, a new data folder."


class TransactionRevertedError(RevertedError):
    """The transaction was mined and failed; its gas is spent."""

    code = "PM-TX-001"


class TransactionTimeoutError(ChainError):
    """The transaction was not mined in time; it is journalled and may still be mined."""

    code = "PM-TX-002"
    exit_code = 6
    remedy = "Run the command again: the same transaction is followed, none is sent twice."


class InsufficientFundsError(ChainError):
    """The account cannot pay the value and the gas of the transaction."""

    code = "PM-TX-003"
    exit_code = 7
    remedy = "Send ETH to the account (on a devnet: `proofmesh devnet faucet`)."


class NonceTakenError(ChainError):
    """Another program sent a transaction with the nonce that this one was signed for."""

    code = "PM-TX-004"
    remedy = "Use the account's key in one node only."


class TransactionKeyReusedError(ChainError):
    """One idempotency key was used for two different transactions."""

    code = "PM-TX-005"
    remedy = "This is a defect of proofmesh: please report it."


# --- node: processes ----------------------------------------------------------------------


class WorkerDiedError(ProofmeshError):
    """A proving worker was killed or crashed; the next job gets a new one."""

    code = "PM-WRK-001"
    remedy = "Check free memory: proving a large circuit may need more than there is."


class WorkerLimitError(ProofmeshError):
    """A job with a bundle needed more memory, time or disk than a worker may have."""

    code = "PM-WRK-002"
    remedy = "Do not use the bundle, or raise `worker_memory_bytes` or `worker_seconds` if you trust its publisher."


class AnvilMissingError(ConfigError):
    """No anvil binary was found."""

    code = "PM-DEV-001"
    remedy = "Run `npm install @foundry-rs/anvil-linux-amd64`, or name the binary with --anvil."


class AnvilFailedError(ProofmeshError):
    """anvil ended or did not answer after it was started."""

    code = "PM-DEV-002"
    exit_code = 4
    remedy = "Read its log; the port may be in use."


# --- models: what a file must be to become a circuit --------------------------------------


class ModelError(ProofmeshError):
    """A model file cannot become a circuit."""

    code = "PM-MDL-001"
    remedy = "Export the model again; docs/MODELS.md says what is supported."


class UnsupportedOperatorError(ModelError):
    """The model uses an operator, or a form of it, that the compiler does not know."""

    code = "PM-MDL-002"
    remedy = "See in docs/MODELS.md what is supported; put another operator in the place of the one that is named."


class ModelTooLargeError(ModelError):
    """The model passes a limit on bytes, nodes, dimensions or weights."""

    code = "PM-MDL-003"
    remedy = "Use a smaller model."


class MalformedModelError(ModelError):
    """The bytes are not a well-formed, self-contained ONNX model."""

    code = "PM-MDL-004"
    remedy = "Export the model again, with its weights inside the file."


class WeightError(ModelError):
    """A weight is not a finite number, or so large that the circuit's field cannot hold the sums."""

    code = "PM-MDL-005"
    remedy = "Train again with regularisation, or scale the features."


class CompileSettingsError(ModelError):
    """The settings contradict each other or the model."""

    code = "PM-MDL-006"
    remedy = "Correct the settings that the message names."


class PrivateWeightsError(ModelError):
    """The weights of this model cannot be kept private, or what is needed to prove with private weights is missing."""

    code = "PM-MDL-012"
    remedy = "Export the weights as initializers of plain layers, or compile with constant weights."


class UndeterminedOutputError(ModelError):
    """The inputs do not determine an output of the circuit, so a prover could prove another one."""

    code = "PM-MDL-010"
    remedy = "Do not use this circuit; report the model and its settings: the compiler should not make such a one."


class MalformedCircuitError(ModelError):
    """The rows of a constraint system are not in canonical form, or a circuit file is damaged."""

    code = "PM-MDL-011"
    remedy = "Compile the circuit again."


# --- proving ------------------------------------------------------------------------------


class ProvingError(ProofmeshError):
    """A proof cannot be made."""

    code = "PM-PRV-001"
    remedy = "Run `proofmesh model audit` on the bundle."


class InputShapeError(ProvingError):
    """The number of inputs is not the model's."""

    code = "PM-PRV-002"
    exit_code = 2
    remedy = "Give one integer for each input that `proofmesh model show` lists."


class InputTypeError(ProvingError):
    """An input is not an integer (NaN, infinite, fractional, or no number)."""

    code = "PM-PRV-003"
    exit_code = 2
    remedy = "Prepare the record as the model's description says; inputs are whole numbers."


class InputRangeError(ProvingError):
    """An input lies outside the range that the model was calibrated for."""

    code = "PM-PRV-004"
    exit_code = 2
    remedy = "The model says nothing about such a record; `proofmesh model show` lists the ranges."


class SelfCheckError(ProvingError):
    """The proof just made does not verify: circuit, keys and witness do not fit together."""

    code = "PM-PRV-005"
    exit_code = 5
    remedy = "Do not use this bundle; run `proofmesh model audit` on it."


class ProofInvalidError(ProvingError):
    """A proof file does not hold a valid proof of what it says."""

    code = "PM-PRV-010"
    exit_code = 5
    remedy = "Do not rely on it; ask for another proof."


class KeyMaterialError(ProvingError):
    """A proving or verifying key cannot be read, or has points that no honest set-up gives."""

    code = "PM-PRV-006"
    remedy = "Pull the bundle again, or ask its publisher for a new set-up."


class SecretError(ProvingError):
    """A secret for blinding is too short, or a blinding is no field element."""

    code = "PM-PRV-007"
    remedy = "Derive blinding and output key with `derive_blinding`."


class StatementError(ProvingError):
    """The public inputs are no statement of this program, or do not open to what was claimed."""

    code = "PM-PRV-008"
    exit_code = 5
    remedy = "Check program and proof; a sealed or committed output opens only with the secrets of its own order."


class BackendError(ProvingError):
    """A proof system is not there, not installed, or what is registered under its name is none."""

    code = "PM-PRV-020"
    exit_code = 3
    remedy = "Choose one that the message names, or install it: EZKL comes with `pip install proofmesh[ezkl]`."


class NoBackendError(ProvingError):
    """No proof system can prove the model for this purpose."""

    code = "PM-PRV-021"
    remedy = "Change what the message names: the model's operators, or its settings."


class BackendLimitError(ProvingError):
    """A proof system in a process of its own crashed, or went beyond its limit of memory or time."""

    code = "PM-PRV-022"
    remedy = "Raise the limit that the message names if the machine has more, or choose another backend."


# --- bundles ------------------------------------------------------------------------------


class BundleError(ProofmeshError):
    """A bundle on disk cannot be used."""

    code = "PM-BND-001"
    remedy = "Pull the bundle again."


class BundleHashError(BundleError):
    """A file of the bundle is not the one that its manifest names."""

    code = "PM-BND-002"


class BundleFilesError(BundleError):
    """The bundle misses a file, has one too many, or names one that is unsafe."""

    code = "PM-BND-003"


class ManifestError(BundleError):
    """The manifest is not the canonical form of a known version, or contradicts its files."""

    code = "PM-BND-004"
    remedy = "Ask the publisher for a bundle of this version of proofmesh."


class BundleTooLargeError(BundleError):
    """A file of the bundle passes its size limit."""

    code = "PM-BND-005"
    remedy = "Do not use this bundle."


class AuditError(BundleError):
    """The bundle is not what it says: its audit failed."""

    code = "PM-BND-006"
    exit_code = 5
    remedy = "Do not use this bundle, and tell others."


# --- contracts: what the chain refuses -------------------------------------------------------


class ContractRefusal(RevertedError):
    """A contract refused a call with an error that is not one of its own."""

    code = "PM-ESC-001"
    remedy = "Check the addresses of the contracts, and that both sides run the same version."


class FundsRefusal(ContractRefusal):
    """A balance in the Escrow, or the reservation of a lock, does not cover what is to be paid."""

    code = "PM-ESC-002"
    exit_code = 7
    remedy = "Deposit more (`proofmesh wallet deposit`), or wait until jobs under way are settled."


class DeadlineRefusal(ContractRefusal):
    """The call came too late or too early."""

    code = "PM-ESC-003"
    remedy = "Compare the deadlines of order and award with the time of the chain's last block."


class StateRefusal(ContractRefusal):
    """The order is in a state that does not allow the call: locked, settled, cancelled or expired."""

    code = "PM-ESC-004"
    remedy = "Look at the order's state: somebody may have been faster."


class TermsRefusal(ContractRefusal):
    """The Escrow does not take an order or award with these terms."""

    code = "PM-ESC-005"
    remedy = "Make a new order with terms that this Escrow and its Registry allow."


class AuthorityRefusal(ContractRefusal):
    """The sender or the signer is not the account that may do this."""

    code = "PM-ESC-006"
    remedy = "Send or sign with the account that the order or award names."


class ProofRefusal(ContractRefusal):
    """The proof does not prove this statement for this order, payout and settler."""

    code = "PM-ESC-007"
    exit_code = 5
    remedy = "Check the proof off-chain; it may have been made for another order, payout or settler."


class RegistrationRefusal(ContractRefusal):
    """The Registry does not take this program or model."""

    code = "PM-ESC-008"
    remedy = "Check the verifying key, and that program and parent model are registered."


class DeploymentError(ChainError):
    """The contracts could not be deployed."""

    code = "PM-ESC-009"
    remedy = "Check the RPC, the chain id and the balance of the deploying account."


class UnsuitableChainError(DeploymentError):
    """The contracts cannot run on this chain."""

    code = "PM-ESC-010"
    remedy = "Use a chain with the BN254 precompiles and the instructions of Cancun."


class DeployedCodeError(ChainError):
    """The code at a contract's address is not what this version was built with."""

    code = "PM-ESC-011"
    remedy = "Check the addresses and the version of proofmesh; do not send money there."


class DeploymentFileError(ConfigError):
    """A deployment file cannot be used."""

    code = "PM-CFG-005"
    remedy = "Get the file again from who deployed the contracts, or make it by `proofmesh deploy`."


class ToolMissingError(ConfigError):
    """A build tool of the checkout is not installed."""

    code = "PM-DEV-010"
    remedy = "Run `make install-dev` in a checkout of the project."


class CompileError(ProofmeshError):
    """The Solidity sources do not compile."""

    code = "PM-DEV-011"
    remedy = "Correct the sources that the compiler names."
