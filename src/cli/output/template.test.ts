import { describe, expect, test } from 'vitest'
import { compileTemplate } from './template.ts'

const data = {
  ID: 'abc',
  Names: ['a', 'b'],
  Config: { Env: ['A=1', 'B=2'], Labels: { x: '1', 'com.example': 'v' }, User: '' },
  Size: 5,
  On: true,
  Label: (name: string) => `value of ${name}`,
}

describe('templates', () => {
  test.each([
    ['plain', 'plain'],
    ['{{.ID}}', 'abc'],
    ['{{ .ID }}-{{.Size}}', 'abc-5'],
    ['{{.Config.Env}}', '[A=1 B=2]'],
    ['{{.Config.Labels}}', 'map[com.example:v x:1]'],
    ['{{json .Config.Env}}', '["A=1","B=2"]'],
    ['{{.Config.Env | json}}', '["A=1","B=2"]'],
    ['{{json .Config.Healthcheck}}', 'null'],
    ['{{.Config.Labels.missing}}', ''],
    ['{{index .Config.Labels "missing"}}', ''],
    ['{{.config.env}}', '[A=1 B=2]'],
    ['{{index .Config.Labels "com.example"}}', 'v'],
    ['{{index .Names 1}}', 'b'],
    ['{{join .Names ","}}', 'a,b'],
    ['{{len .Names}}', '2'],
    ['{{upper .ID}}', 'ABC'],
    ['{{range .Names}}[{{.}}]{{end}}', '[a][b]'],
    ['{{range $i, $n := .Names}}{{$i}}={{$n}};{{end}}', '0=a;1=b;'],
    ['{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}', 'com.example=v x=1 '],
    ['{{range .Config.Volumes}}x{{else}}none{{end}}', 'none'],
    ['{{if .On}}yes{{else}}no{{end}}', 'yes'],
    ['{{if .Config.User}}{{.Config.User}}{{else}}root{{end}}', 'root'],
    ['{{if eq .ID "abc"}}same{{end}}', 'same'],
    ['{{if not (eq .ID "x")}}other{{end}}', 'other'],
    ['{{if and .On (gt .Size 3)}}big{{else if .On}}small{{end}}', 'big'],
    ['{{with .Config}}{{index .Env 0}}{{end}}', 'A=1'],
    ['{{printf "%s:%d" .ID .Size}}', 'abc:5'],
    ['{{printf "%-5s|%4d|%.2s" .ID .Size .ID}}', 'abc  |   5|ab'],
    ['{{.ID | printf "%.2s"}}', 'ab'],
    ['{{.Label "x"}}', 'value of x'],
    ['{{(index .Names 0)}}', 'a'],
    [String.raw`{{.ID}}\t{{.Size}}`, 'abc\t5'],
    ['{{- .ID -}}', 'abc'],
    ['a {{- " b" }}', 'a b'],
    ['{{$x := .ID}}{{$x}}', 'abc'],
    ['{{println .ID}}', 'abc\n'],
    ['{{/* nothing */}}x', 'x'],
  ])('%s', (template, expected) => {
    expect(compileTemplate(template)(data)).toBe(expected)
  })

  test.each([
    '{{.Nope}}',
    '{{json .Nope}}',
    '{{.Config.Nope}}',
    '{{range .Nope}}x{{end}}',
    '{{if .Nope}}x{{end}}',
    '{{.ID',
    '{{if .On}}x',
    '{{nonsense .ID}}',
    '{{.ID .Size}}',
    '{{(.ID}}',
    '{{json .ID)}}',
    '{{.ID | }}',
  ])('refuses %s', (template) => {
    expect(() => compileTemplate(template)(data)).toThrow(/cannot use the template/)
  })
})
