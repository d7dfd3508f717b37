/** Opcodes of the daemon socket: base, and the later ones of spec/06 §11 that this daemon serves. */
export const OP = {
  bind: 0x01,
  bindOk: 0x02,
  dial: 0x03,
  dialOk: 0x04,
  accept: 0x05,
  send: 0x06,
  recv: 0x07,
  close: 0x08,
  closeOk: 0x09,
  error: 0x0a,
  sendTo: 0x0b,
  recvFrom: 0x0c,
  info: 0x0d,
  infoOk: 0x0e,
  handshake: 0x0f,
  handshakeOk: 0x10,
  resolveHostname: 0x11,
  resolveHostnameOk: 0x12,
  setHostname: 0x13,
  setHostnameOk: 0x14,
  setVisibility: 0x15,
  setVisibilityOk: 0x16,
  deregister: 0x17,
  deregisterOk: 0x18,
  setTags: 0x19,
  setTagsOk: 0x1a,
  setWebhook: 0x1b,
  setWebhookOk: 0x1c,
  setTaskExec: 0x1d,
  setTaskExecOk: 0x1e,
  network: 0x1f,
  networkOk: 0x20,
  health: 0x21,
  healthOk: 0x22,
  managed: 0x23,
  managedOk: 0x24,
  /** With an empty payload; else it is `setPeerEndpoints` (spec/06 §11.4). */
  rotateKey: 0x25,
  rotateKeyOk: 0x26,
  /** Of v1.9. */
  setPeerEndpoints: 0x25,
  setPeerEndpointsOk: 0x26,
  /** Unbind as v1.9 numbers it. */
  unbind: 0x27,
  unbindOk: 0x28,
  broadcast: 0x29,
  broadcastOk: 0x2a,
  cancel: 0x2b,
  /** Of H2, as the four after it. */
  preferDirect: 0x2d,
  preferDirectOk: 0x2e,
  submitBadge: 0x2f,
  submitBadgeOk: 0x30,
  enrollRecovery: 0x31,
  enrollRecoveryOk: 0x32,
  signEnvelope: 0x33,
  signEnvelopeOk: 0x34,
  verifyEnvelope: 0x35,
  verifyEnvelopeOk: 0x36,
  /** Of v1.9, as those up to `sendTrackedResult`; from the daemon most numbers mean two things. */
  subscribe: 0x30,
  subscribeOk: 0x31,
  unsubscribe: 0x32,
  unsubscribeOk: 0x33,
  notify: 0x34,
  sendResult: 0x35,
  sendTracked: 0x36,
  sendTrackedResult: 0x37,
  /** Unbind as H2 numbers it. */
  unbindH2: 0x37,
  unbindH2Ok: 0x38,
  /** Of v1.9; from the daemon the number is H2's answer to Unbind. */
  lookupNode: 0x38,
  lookupNodeOk: 0x39,
  sendToConfirm: 0x39,
  sendToOk: 0x3a,
  /** Of v1.9. */
  signChallenge: 0x3a,
  signChallengeOk: 0x3b,
  /** Ours alone, as the two after it (spec/10 §18). */
  flow: 0x60,
  flowOk: 0x61,
  credit: 0x62,
} as const

/** Sub-commands of `OP.handshake` (spec/06 §5.9). */
export const HANDSHAKE = {
  request: 1,
  approve: 2,
  reject: 3,
  pending: 4,
  trusted: 5,
  revoke: 6,
  wait: 7,
} as const

/** Sub-commands of `OP.network` (spec/06 §11.1). */
export const NETWORK = {
  list: 1,
  join: 2,
  leave: 3,
  members: 4,
  invite: 5,
  pollInvites: 6,
  respondInvite: 7,
} as const

/** Largest body either side accepts, opcode included (spec/06 §2). */
export const FRAME_BYTES_MAX: number = 2 ** 20
/** Largest Send body the daemon accepts: base `pilotctl` writes a file of 16 MiB as one (spec/06 §13). */
export const SEND_BYTES_MAX: number = 17 * 2 ** 20
/** Largest data of one Recv: base `pilotctl` reads once into 65535 bytes (spec/06 §7, G3). */
export const RECV_DATA_MAX = 65535
/** Largest data our own driver puts into one Send (spec/08 §7). */
export const SEND_DATA_MAX: number = 512 * 1024
/** With credits: bytes of one connection that the client may have unread, and those it may have sent and not taken. */
export const RECV_WINDOW_BYTES: number = 512 * 1024
export const SEND_WINDOW_BYTES: number = 512 * 1024
/** Credit is given anew after so many bytes. */
export const CREDIT_STEP_BYTES: number = 128 * 1024
