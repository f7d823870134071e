import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts', 'src/tanstack/index.ts', 'src/demand/index.ts', 'src/offline/index.ts', 'src/blob/index.ts', 'src/store/index.ts', 'src/store/wa-worker.ts', 'src/yjs/index.ts'],
  format: ['esm'],
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  clean: true,
  splitting: true,
  // A chunk that is imported for nothing is not imported: bundlers would warn of it.
  treeshake: { moduleSideEffects: false },
  external: [/^@tanstack\//, /^@journeyapps\//, 'yjs'],
})
