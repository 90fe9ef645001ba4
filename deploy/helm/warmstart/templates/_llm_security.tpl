{{/* Who vLLM runs as. On Neuron root, as the AWS containers need it, with nothing else granted; elsewhere like all other pods. */}}

{{- define "warmstart.llm.podSecurity" -}}
{{- if (include "warmstart.runtime.profile" .root | fromJson).needs_compile }}
seccompProfile: {type: RuntimeDefault}
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
{{- else }}
{{- include "warmstart.podSecurity" . }}
{{- end }}
{{- end }}

{{- define "warmstart.llm.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL], add: {{ toJson .root.Values.llm.capabilities }}}
{{- if not (include "warmstart.runtime.profile" .root | fromJson).needs_compile }}
readOnlyRootFilesystem: true
{{- end }}
{{- end }}

{{- define "warmstart.llm.volumes" -}}
- name: tmp
  emptyDir: {}
- name: shm # workers of one model exchange tensors there; the default of 64 MiB ends in a bus error
  emptyDir: {medium: Memory, sizeLimit: {{ (include "warmstart.runtime.shape" .root | fromJson).shm }}}
- name: artefacts
  persistentVolumeClaim: {claimName: {{ include "warmstart.artefacts" .root }}}
{{- end }}
