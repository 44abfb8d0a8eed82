<#
.SYNOPSIS
Removes old log files.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory = $true)]
    [string]$Path,
    [int]$Days = 30
)

$limit = (Get-Date).AddDays(-$Days)

Get-ChildItem -Path $Path -Filter *.log -Recurse |
    Where-Object { $_.LastWriteTime -lt $limit } |
    ForEach-Object {
        if ($PSCmdlet.ShouldProcess($_.FullName, 'Remove')) {
            Remove-Item -LiteralPath $_.FullName -Force -ErrorAction Stop
            Write-Verbose "removed $($_.FullName)"
        }
    }

function Get-FreeSpace([string]$Drive = 'C') {
    return (Get-PSDrive -Name $Drive).Free / 1GB
}
Write-Output ("free: {0:N1} GB" -f (Get-FreeSpace))
