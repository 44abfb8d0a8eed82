@echo off
setlocal enabledelayedexpansion

set TARGET=%ProgramFiles%\Calculator
if not "%1"=="" set TARGET=%~1

if not exist "%TARGET%" (
    mkdir "%TARGET%"
    if errorlevel 1 goto :failed
)

for %%f in (*.exe *.dll) do (
    echo Copying %%f
    copy /y "%%f" "%TARGET%" >nul
)

rem Tell the user where it went.
echo Installed to %TARGET%
goto :eof

:failed
echo Cannot create %TARGET% 1>&2
exit /b 1
