/**
 * Tasks on disk (spec/07 §8.3): `~/.pilot/tasks/received`, `submitted` and `results`, which daemon and command line
 * of every generation share. Ours take turns by a lock; the reference's take none.
 */
import { mkdir, readdir, readFile, rm, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { utf8 } from '../../../core/bytes.ts'
import { PilotError, StorageError, UsageError } from '../../../core/errors.ts'
import { sanitizeFileName } from '../../../core/service/inbox.ts'
import { formatTask, isTaskId, parseTask, type Task } from '../../../core/service/task.ts'
import { makeDirectory, writeFileAtomic } from '../file-storage.ts'

export type TaskBox = 'received' | 'submitted'

/** A holder of the lock that died is not waited for. */
const LOCK_MS = 5000
const LOCK_RETRY_MS = 20
/** Larger ones are no task files. */
const TASK_FILE_BYTES_MAX = 20 * 1024 * 1024
const FINAL = new Set(['DECLINED', 'SUCCEEDED', 'CANCELLED', 'EXPIRED'])

export class TaskStore {
  readonly directory: string
  /** Tasks that are over, by box and id: they are not read again. */
  readonly #over = new Map<string, Task>()
  /** Changes of this process, one after the other: a slow disk must not outlast the lock between two of them. */
  #changing: Promise<unknown> = Promise.resolve()

  /** `home`: where `~/.pilot` is. */
  constructor(home: string) {
    this.directory = join(home, '.pilot', 'tasks')
  }

  /** `undefined` when there is no such task. @throws {StorageError} `ERR_STORE_IO`, `ERR_STORE_CORRUPT`. */
  async read(box: TaskBox, taskId: string): Promise<Task | undefined> {
    if (!isTaskId(taskId)) return undefined
    const path = this.#path(box, taskId)
    let bytes: Uint8Array
    try {
      bytes = await readFile(path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw new StorageError('ERR_STORE_IO', `cannot read ${path}`, { cause })
    }
    try {
      return { ...parseTask(bytes), taskId }
    } catch (cause) {
      throw new StorageError('ERR_STORE_CORRUPT', `${path} holds no task`, { cause })
    }
  }

  /** In the order of ids; files that hold no task are left out. */
  async list(box: TaskBox): Promise<Task[]> {
    const tasks: Task[] = []
    for (const name of await this.#names(box)) {
      const taskId = name.slice(0, -'.json'.length)
      const key = `${box}/${taskId}`
      const known = this.#over.get(key)
      if (known !== undefined) {
        tasks.push(known)
        continue
      }
      const found = await stat(this.#path(box, taskId)).catch(() => undefined)
      if (found === undefined || found.size > TASK_FILE_BYTES_MAX) continue
      const task = await this.read(box, taskId).catch(() => undefined)
      if (task === undefined) continue
      if (FINAL.has(task.status)) this.#over.set(key, task)
      tasks.push(task)
    }
    return tasks
  }

  async count(box: TaskBox): Promise<number> {
    return (await this.#names(box)).length
  }

  /** Stores a task that is not there yet; false when it is. @throws {StorageError} `ERR_STORE_IO`. */
  create(box: TaskBox, task: Task): Promise<boolean> {
    return this.#locked(async () => {
      if ((await this.read(box, task.taskId).catch(() => 'unreadable')) !== undefined) return false
      await writeFileAtomic(this.#path(box, task.taskId), formatTask(task))
      return true
    })
  }

  /**
   * Replaces a task by what `change` makes of it, which nobody else of ours does meanwhile. Returns it, or
   * `undefined` where `change` gives nothing: then nothing is written.
   *
   * @throws {UsageError} `ERR_TASK_NOT_FOUND`, and what `change` throws.
   * @throws {StorageError} `ERR_STORE_IO`, `ERR_STORE_CORRUPT`.
   */
  update(
    box: TaskBox,
    taskId: string,
    change: (task: Task) => Task | undefined | Promise<Task | undefined>,
  ): Promise<Task | undefined> {
    return this.#locked(async () => {
      const task = await this.read(box, taskId)
      if (task === undefined)
        throw new UsageError('ERR_TASK_NOT_FOUND', `task not found: ${taskId}`)
      const changed = await change(task)
      if (changed !== undefined && changed !== task)
        await writeFileAtomic(this.#path(box, taskId), formatTask(changed))
      return changed
    })
  }

  /**
   * Stores results under a name that begins with the task's id and never leaves the folder. Returns the path.
   *
   * @throws {StorageError} `ERR_STORE_IO`.
   */
  async storeResult(
    taskId: string,
    result: { readonly text: string; readonly fileName: string; readonly fileData: Uint8Array },
  ): Promise<string> {
    const isFile = result.fileName !== '' && result.fileData.length > 0
    const name = isFile ? (sanitizeFileName(utf8(result.fileName)) ?? 'result.bin') : 'result.txt'
    const path = join(this.directory, 'results', `${taskId}_${shortened(name, 180)}`)
    await writeFileAtomic(path, isFile ? result.fileData : utf8(result.text))
    return path
  }

  async #names(box: TaskBox): Promise<string[]> {
    const names = await readdir(join(this.directory, box)).catch(() => [])
    return names
      .filter((name) => name.endsWith('.json') && isTaskId(name.slice(0, -'.json'.length)))
      .sort()
  }

  #path(box: TaskBox, taskId: string): string {
    return join(this.directory, box, `${taskId}.json`)
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#changing.then(() => this.#underLock(work))
    this.#changing = done.catch(() => {})
    return done
  }

  async #underLock<T>(work: () => Promise<T>): Promise<T> {
    const lock = join(this.directory, '.lock')
    await this.#lock(lock)
    try {
      return await work()
    } finally {
      await rmdir(lock).catch(() => {})
    }
  }

  async #lock(lock: string): Promise<void> {
    try {
      await makeDirectory(this.directory)
      const deadline = Date.now() + 2 * LOCK_MS
      while (Date.now() < deadline) {
        try {
          await mkdir(lock, { mode: 0o700 })
          return
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        }
        const found = await stat(lock).catch(() => undefined)
        if (found !== undefined && Date.now() - found.mtimeMs > LOCK_MS)
          await rm(lock, { recursive: true, force: true })
        else await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS))
      }
    } catch (cause) {
      if (cause instanceof PilotError) throw cause
      throw new StorageError('ERR_STORE_IO', `cannot write to ${this.directory}`, { cause })
    }
    throw new StorageError('ERR_STORE_IO', `${lock} is held by another program`)
  }
}

/** The extension is kept. */
function shortened(name: string, bytes: number): string {
  const all = Buffer.from(name)
  if (all.length <= bytes) return name
  const dot = name.lastIndexOf('.')
  const extension = dot < 0 ? '' : name.slice(dot)
  const room = bytes - Buffer.byteLength(extension)
  return room <= 0
    ? all
        .subarray(0, bytes)
        .toString()
        .replace(/\ufffd+$/, '')
    : all
        .subarray(0, room)
        .toString()
        .replace(/\ufffd+$/, '') + extension
}
