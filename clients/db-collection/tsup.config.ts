import { defineConfig } from 'tsup'

export default defineConfig({
  entry: ['src/index.ts', 'src/tanstack/index.ts', 'src/demand/index.ts', 'src/offline/index.ts', 'src/blob/index.ts', 'src/store/index.ts', 'src/store/wa-worker.ts', 'src/yjs/index.ts'],
  format: ['esm'],
  target: 'es2022',
  platform: 'neutral',
  dts: true,
  clean: true,
  splitting: true,
  treeshake: true,
  external: [/^@tanstack\//, /^@journeyapps\//, 'yjs'],
})
