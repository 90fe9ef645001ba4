{{/* Who is who in a NetworkPolicy. Knows pods by their component; what lies outside the release is given in the values. */}}

{{- define "warmstart.network.peers" -}}
{{- range .peers }}
- podSelector: {{ include "warmstart.selector" (dict "root" $.root "component" .) }}
{{- end }}
{{- end }}

{{/* Egress of a component to what is not of this release: the gateway's database, the expander's external LLM. */}}
{{- define "warmstart.network.outside" -}}
{{- $values := .root.Values }}
{{- if and (eq .component "gateway") $values.postgresql.existingSecret }}
- ports: [{port: {{ $values.postgresql.port }}, protocol: TCP}]
  {{- with $values.networkPolicy.postgresqlTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if and (eq .component "expander") (eq $values.llm.profile "external") }}
{{- $url := urlParse $values.llm.url }}
- ports: [{port: {{ regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}, protocol: TCP}]
  {{- with $values.networkPolicy.llmTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
