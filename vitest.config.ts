import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    projects: [
      // None takes seconds by itself; on a machine that is busy with other things some do.
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'fuzz/**/*.test.ts'],
          exclude: ['src/**/*.integration.test.ts'],
          testTimeout: 30_000,
        },
      },
      // These share one machine's kernel, disk and store formats: a few at a time, and patient.
      {
        test: {
          name: 'integration',
          include: ['src/**/*.integration.test.ts', 'integration-tests/**/*.test.ts'],
          exclude: ['integration-tests/differential/**'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      // What peers make of the same Dockerfiles. Their results are kept, so that no peer is needed to compare with them.
      {
        test: {
          name: 'differential',
          include: ['integration-tests/differential/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      // The files in which it matters how layers are kept, once more, with layers that are mounted where the machine can.
      {
        test: {
          name: 'mounted',
          include: [
            'integration-tests/{traps,crash,copy-places,copy-rules,exact-places}.test.ts',
            'integration-tests/differential/**/*.test.ts',
            'src/store/snapshots.integration.test.ts',
          ],
          env: { STAVE_STORAGE_DRIVER: 'auto' },
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      { test: { name: 'registry', include: ['registry-tests/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000 } },
    ],
    maxWorkers: 2,
  },
})
