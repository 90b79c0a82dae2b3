import { parseList } from '#mirror/list.ts'
import { mutated } from '../random.ts'
import { documentWords, ours, type Target } from '../target.ts'

const seeds = [
  'r.example:\n  images:\n    a/b: ["1.0", latest]\n    c: []\n  images-by-tag-regex:\n    d: ^v1\n  images-by-semver:\n    e: ">= 1.2 < 3"\n  credentials:\n    username: u\n    password: p\n  tls-verify: false\n  cert-dir: /x\n',
  'a: &x [1]\nb: *x\nc: !!binary eA==\n? [d]\n: e\n',
  'a: &a ["x","x"]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n',
]

/** A list of what to mirror, and any YAML in its place. */
export const lists: Target = {
  name: 'yaml',
  next(random) {
    const input = mutated(random, seeds, [
      ...documentWords,
      '- ',
      '? ',
      ': ',
      '<<: ',
      '&a ',
      '*a ',
      '!!x ',
      '---\n',
      '...\n',
      '|\n',
      '>\n',
      '  ',
    ])
    return { input, work: () => ours(() => void parseList(input, 'sync.yaml')) }
  },
}
