{{/* Which nodes vLLM goes to, to serve or to compile. The types that can run it come from the runtime profile. */}}

{{- define "warmstart.llm.placement" -}}
{{- $profile := include "warmstart.runtime.profile" .root | fromJson }}{{ $shape := include "warmstart.runtime.shape" .root | fromJson }}
{{- $taints := .root.Values.llm.tolerations }}
{{- with $profile.taint_key }}{{ $taints = append $taints (dict "key" . "operator" "Exists" "effect" "NoSchedule") }}{{ end }}
{{- include "warmstart.pod" (dict "root" .root "component" "llm" "nodeSelector" .root.Values.llm.nodeSelector "tolerations" $taints) }}
{{- with .root.Values.llm.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .root.Values.llm.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- $types := (get $shape .verb).instance_types }}
{{- if or $types (include "warmstart.artefacts.oneNode" .root) }}
affinity:
  {{- with $types }}
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions: [{key: node.kubernetes.io/instance-type, operator: In, values: {{ toJson . }}}]
    preferredDuringSchedulingIgnoredDuringExecution: # the smallest; beside the compile Job it would keep a large node for itself
      - weight: 100
        preference: {matchExpressions: [{key: node.kubernetes.io/instance-type, operator: In, values: [{{ first . }}]}]}
  {{- end }}
  {{- if include "warmstart.artefacts.oneNode" .root }}{{ include "warmstart.artefacts.together" .root | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
