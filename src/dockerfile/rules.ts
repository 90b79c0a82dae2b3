/** A rule of the linter. The names are BuildKit's, so that `# check=skip=…` means the same for both. */
export interface Rule {
  readonly description: string
  /** Off unless `# check=experimental=…` turns it on. */
  readonly experimental?: true
}

export const rules = {
  StageNameCasing: { description: 'Names of stages are written in lower case' },
  FromAsCasing: { description: 'FROM and AS are written in the same case' },
  NoEmptyContinuation: { description: 'An empty line between continuation lines will become an error' },
  ConsistentInstructionCasing: { description: 'All instructions of a file are written in the same case' },
  DuplicateStageName: { description: 'Each stage has a name of its own' },
  ReservedStageName: { description: 'No stage is called scratch or context' },
  JSONArgsRecommended: { description: 'CMD and ENTRYPOINT in JSON form get the signals that are sent to the container' },
  MaintainerDeprecated: { description: 'MAINTAINER is deprecated: a label names the author' },
  UndefinedArgInFrom: { description: 'FROM uses only ARGs that are declared before the first FROM' },
  WorkdirRelativePath: { description: 'The first WORKDIR is absolute, since another base image may have another working directory' },
  UndefinedVar: { description: 'A variable is defined before it is used' },
  MultipleInstructionsDisallowed: { description: 'Of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last one counts' },
  LegacyKeyValueFormat: { description: 'ENV and LABEL are written NAME=VALUE' },
  InvalidBaseImagePlatform: { description: 'A base image has the platform that the stage is built for' },
  RedundantTargetPlatform: { description: 'FROM has the target platform anyway' },
  SecretsUsedInArgOrEnv: { description: 'What ARG and ENV hold can be read in the image: secrets are mounted' },
  InvalidDefaultArgInFrom: { description: 'With the defaults of its ARGs, FROM names a valid image' },
  FromPlatformFlagConstDisallowed: { description: 'FROM --platform is not a constant, so that the file builds for any platform' },
  CopyIgnoredFile: { description: 'What is copied is not left out by .dockerignore' },
  InvalidDefinitionDescription: { description: 'A comment above a stage or an ARG begins with its name', experimental: true },
  ExposeProtoCasing: { description: 'The protocol of a port is written in lower case' },
  ExposeInvalidFormat: { description: 'EXPOSE has no address and no host port' },
} as const satisfies Record<string, Rule>

export type RuleName = keyof typeof rules

export const ruleNames = Object.keys(rules) as readonly RuleName[]

/** Is the rule off unless it is asked for? */
export function isExperimental(name: RuleName): boolean {
  const rule: Rule = rules[name]
  return rule.experimental === true
}
