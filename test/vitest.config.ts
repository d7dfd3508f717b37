import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    reporters: ['default', new URL('failure-reporter.mjs', import.meta.url).pathname],
    projects: [
      {
        root: new URL('..', import.meta.url).pathname,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [
            'test/e2e/**',
            'test/examples/**',
            'test/browser/**',
            'test/package/**',
            '**/node_modules/**',
          ],
          testTimeout: 30_000,
        },
      },
      {
        root: new URL('..', import.meta.url).pathname,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          // Real processes on real clocks: a test that passes at its second trial is named by `npm test`.
          retry: 1,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        root: new URL('..', import.meta.url).pathname,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          globalSetup: ['test/package/setup.ts'],
          testTimeout: 90_000,
          hookTimeout: 90_000,
          fileParallelism: false,
        },
      },
      {
        root: new URL('..', import.meta.url).pathname,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts', 'test/examples/**/*.test.ts'],
          retry: 1,
          globalSetup: ['test/e2e/build.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
