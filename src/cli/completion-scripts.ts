// SPDX-License-Identifier: Apache-2.0

interface CompletionWord {
  readonly name: string;
  /** Empty: shown without one. */
  readonly meaning: string;
}

interface CompletionFlag extends CompletionWord {
  readonly short: string | undefined;
  /** Every value that it takes; empty when they are not known. */
  readonly values: readonly string[];
  /** What `completion --lookup` knows the values as. */
  readonly lookup: string | undefined;
}

interface CompletionCommand extends CompletionWord {
  /** What the first word after the name may be. */
  readonly words: readonly string[];
  readonly flags: readonly CompletionFlag[];
}

/** What can be completed: the commands, the words and the flags of each, and the values of flags. */
export type CompletionTree = readonly CompletionCommand[];

type Renderer = (program: string, tree: CompletionTree) => string;

const words = (list: readonly CompletionWord[]): string => list.map(({ name }) => name).join(" ");
const functionName = (program: string): string => `_${program.replaceAll(/[^A-Za-z0-9]/g, "_")}_complete`;
/** A text in single quotes for a POSIX shell and for fish. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

interface FlagValues extends Pick<CompletionFlag, "values" | "lookup"> {
  /** The command, and the flag in one of its forms: `explain -o`. */
  readonly place: string;
}

/** The flags that have known values. */
function flagValues(tree: CompletionTree): readonly FlagValues[] {
  return tree.flatMap(({ name: command, flags }) =>
    flags
      .filter(({ values, lookup }) => values.length > 0 || lookup !== undefined)
      .flatMap(({ name, short, values, lookup }) =>
        [name, short]
          .filter((form) => form !== undefined)
          .map((form) => ({ place: `${command} ${form}`, values, lookup })),
      ),
  );
}

/** A command that prints the values of a flag, in any shell. */
const lookUp = (program: string, lookup: string): string => `${program} completion --lookup ${lookup}`;

/** A `case` on the word before, for the values of flags. */
function valueCases(tree: CompletionTree, render: (flag: FlagValues) => string): string {
  return flagValues(tree)
    .map((flag) => `    ${quoted(flag.place)}) ${render(flag)} ;;`)
    .join("\n");
}

function bash(program: string, tree: CompletionTree): string {
  const name = functionName(program);
  const valuesOf = ({ values, lookup }: FlagValues): string =>
    lookup === undefined ? quoted(values.join(" ")) : `"$(${lookUp(program, lookup)} 2>/dev/null)"`;
  const cases = tree.map(
    (command) => `      ${command.name}) choices=${quoted([...command.words, words(command.flags)].join(" "))} ;;`,
  );
  return `# bash completion for ${program}
${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" choices=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W ${quoted(words(tree))} -- "$current"))
    return
  fi
  if [ "$before" = = ]; then before="\${COMP_WORDS[COMP_CWORD-2]}"; elif [ "$current" = = ]; then current=''; fi
  case "\${COMP_WORDS[1]} $before" in
${valueCases(tree, (flag) => `choices=${valuesOf(flag)}`)}
  esac
  if [ -z "$choices" ]; then
    case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    esac
  fi
  # names may have characters that the shell would interpret
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current" | while read -r word; do printf '%q\\n' "$word"; done)
}
complete -o default -F ${name} ${program}
`;
}

function zsh(program: string, tree: CompletionTree): string {
  const name = functionName(program);
  const item = ({ name: word, meaning }: CompletionWord): string =>
    quoted(meaning === "" ? word : `${word.replaceAll(":", "\\:")}:${meaning}`);
  const plain = (word: string): string => quoted(word.replaceAll(":", "\\:"));
  const valuesOf = ({ values, lookup }: FlagValues): string =>
    lookup === undefined ? values.map(plain).join(" ") : `"\${(@f)$(${lookUp(program, lookup)} 2>/dev/null)}"`;
  const cases = tree.map(
    (command) =>
      `      ${command.name}) choices=(${[...command.words.map(plain), ...command.flags.map(item)].join(" ")}) ;;`,
  );
  return `#compdef ${program}
# zsh completion for ${program}
${name}() {
  local -a choices
  if (( CURRENT == 2 )); then choices=(${tree.map(item).join(" ")}); else
    case "$words[2] $words[CURRENT-1]" in
${valueCases(tree, (flag) => `choices=(${valuesOf(flag)})`)}
    esac
    if (( \${#choices} == 0 )); then case "$words[2]" in
${cases.join("\n")}
    esac; fi
  fi
  _describe '${program}' choices || _files
}
compdef ${name} ${program}
`;
}

function fish(program: string, tree: CompletionTree): string {
  const describe = (meaning: string): string => (meaning === "" ? "" : ` -d ${quoted(meaning)}`);
  const commands = tree.map(
    ({ name, meaning }) => `complete -c ${program} -n __fish_use_subcommand -f -a ${name}${describe(meaning)}`,
  );
  const seen = (name: string): string => `complete -c ${program} -n '__fish_seen_subcommand_from ${name}'`;
  const first = tree
    .filter((command) => command.words.length > 0)
    .map((command) => `${seen(command.name)} -a ${quoted(command.words.join(" "))}`);
  const flags = tree.flatMap((command) =>
    command.flags.map(({ name, short, meaning, values, lookup }) => {
      const found = lookup === undefined ? values.join(" ") : `(${lookUp(program, lookup)} 2>/dev/null)`;
      const choices = found === "" ? "" : ` -x -a ${quoted(found)}`;
      const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
      return `${seen(command.name)} -l ${name.slice(2)}${letter}${choices}${describe(meaning)}`;
    }),
  );
  return `# fish completion for ${program}\n${[...commands, ...first, ...flags].join("\n")}\n`;
}

function powershell(program: string, tree: CompletionTree): string {
  const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;
  const item = ({ name, meaning }: CompletionWord): string =>
    `@{ n = ${text(name)}; m = ${text(meaning === "" ? name : meaning)} }`;
  const plain = (word: string): string => item({ name: word, meaning: "" });
  const entries = tree.map(
    (command) =>
      `    ${text(command.name)} = @(${[...command.words.map(plain), ...command.flags.map(item)].join(", ")})`,
  );
  const valuesOf = ({ values, lookup }: FlagValues): string =>
    lookup === undefined
      ? `@(${values.map(plain).join(", ")})`
      : `@(& ${lookUp(program, lookup)} 2>$null | ForEach-Object { @{ n = $_; m = $_ } })`;
  const values = flagValues(tree).map((flag) => `    ${text(flag.place)} = ${valuesOf(flag)}`);
  return `# powershell completion for ${program}
Register-ArgumentCompleter -Native -CommandName ${text(program)} -ScriptBlock {
  param($word, $ast, $position)
  $commands = @(${tree.map(item).join(", ")})
  $flags = @{
${entries.join("\n")}
  }
  $values = @{
${values.join("\n")}
  }
  $seen = $ast.CommandElements
  $before = if ($word -ne '') { $seen[$seen.Count - 2] } else { $seen[$seen.Count - 1] }
  $choices = if ($seen.Count -lt 2 -or ($seen.Count -eq 2 -and $word -ne '')) { $commands }
    elseif ($values["$($seen[1]) $before"]) { $values["$($seen[1]) $before"] } else { $flags["$($seen[1])"] }
  $choices | Where-Object { $_.n -like "$word*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_.n, $_.n, 'ParameterValue', $_.m)
  }
}
`;
}

export const renderers: Readonly<Record<string, Renderer>> = { bash, zsh, fish, powershell };
