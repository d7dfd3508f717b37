/** Calls `work` once after `ms`; returns what cancels it. */
export function setTimer(work: () => void, ms: number): () => void {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}
