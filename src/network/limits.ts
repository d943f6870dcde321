// Every bound of the network room, with what happens at it.

/** A network command that has not ended by then is killed and the call rejects; the agent's backoff tries again. */
export const COMMAND_TIMEOUT_MS = 10_000

/** Names of network devices: the kernel refuses longer ones. */
export const DEVICE_NAME_MAX = 15

/** What is kept of a command's error output for a message. The rest is dropped. */
export const ERROR_TEXT_MAX = 1_024
